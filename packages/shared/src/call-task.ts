import { format } from 'node:util'
import type { z } from 'zod'
import type { LogFields, LogLevel, Task, TaskContext, TaskLog } from './define-task.ts'
import { ScError } from './errors.ts'
import { isRecord } from './is-record.ts'
import { changedByJson } from './plain-json.ts'

const MOST_FAULTS = 5

/**
 * One run of a task: its input is checked, then it runs, then its output is checked. SC_TASK_INPUT and SC_TASK_FAILED name
 * the fields; what the task itself throws comes out as it is.
 */
export async function callTask<I extends z.ZodType, O extends z.ZodType>(
  task: Task<I, O>,
  rawInput: unknown,
  context: TaskContext
): Promise<z.output<O>> {
  const input = await task.input.safeParseAsync(rawInput)
  if (!input.success)
    throw new ScError('SC_TASK_INPUT', `The input of ${task.name} is not valid: ${faultsOf('input', input.error)}`)
  const answer = await task.run(input.data, context)
  const output = await task.output.safeParseAsync(answer)
  if (!output.success)
    throw new ScError('SC_TASK_FAILED', `The output of ${task.name} is not valid: ${faultsOf('output', output.error)}`)
  const changed = changedByJson(output.data, 'output')
  if (changed !== null) throw new ScError('SC_TASK_FAILED', `The output of ${task.name} is not valid: ${changed}`)
  return output.data
}

/** The log that a task is given, on top of `say`. Whatever it is given, it never throws. */
export function createTaskLog(say: (level: LogLevel, message: string, fields: LogFields) => void): TaskLog {
  const at =
    (level: LogLevel) =>
    (first: unknown, second?: unknown): void => {
      // pino's order, fields before the text, is as good.
      const [message, fields] = isFields(first) && !isFields(second) ? [second ?? '', first] : [first, second]
      say(level, textOf(message), isFields(fields) ? fields : fields === undefined ? {} : { value: fields })
    }
  return Object.assign(at('info'), { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') })
}

/** What is wrong, by field; `whole` stands for the value itself. */
export function faultsOf(whole: string, error: z.ZodError): string {
  return error.issues
    .slice(0, MOST_FAULTS)
    .map(({ path, message }) => `${path.join('.') || whole}: ${message}`)
    .join('; ')
}

function isFields(value: unknown): value is LogFields {
  return isRecord(value) && !(value instanceof Error)
}

function textOf(value: unknown): string {
  try {
    return typeof value === 'string' ? value.toWellFormed() : value instanceof Error ? `${value}` : format(value)
  } catch {
    return `(${typeof value} without a text)`
  }
}
