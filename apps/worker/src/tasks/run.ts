import { isErrorCode, ScError } from '@sc/shared/errors.ts'
import type { FromChild } from '@sc/shared/python-protocol.ts'

export type Answer = { output: unknown; metrics: Record<string, number> }

/** One run of a task, as its task process is asked for it. */
export interface Run {
  id: string
  task: string
  input: unknown
  /** Of a large input, which is not taken apart here: JSON text, in place of `input`. */
  inputText?: string | undefined
  deadlineMs: number
  signal: AbortSignal
  /** The runs before it are over. */
  onBegin?(): void
  onProgress(message: Extract<FromChild, { type: 'progress' }>): void
  onLog(message: Extract<FromChild, { type: 'log' }>): void
}

export interface PendingRun extends Run {
  /** It ran past its deadline. */
  late: boolean
  resolve(answer: Answer): void
  reject(error: ScError): void
}

export function cancelled({ task }: Run): ScError {
  return new ScError('SC_CANCELLED', `${task} was stopped`)
}

/** `lastWords`: what its process wrote to stderr. */
export function timedOut({ task, deadlineMs }: Run, lastWords: string): ScError {
  const detail = `An attempt at ${task} may take ${deadlineMs / 1000} s and was ended. Allow it more with \`timeoutSeconds\` of the request.`
  return new ScError('SC_TASK_TIMEOUT', lastWords ? `${detail}\n${lastWords}` : detail)
}

/** What the process itself said; a code of no table is a failure of the task. */
export function errorOf(message: Extract<FromChild, { type: 'error' }>): ScError {
  const code = isErrorCode(message.code) ? message.code : 'SC_TASK_FAILED'
  const { retryable, detail } = message
  return new ScError(code, detail ? `${message.message}\n${detail}` : message.message, { retryable })
}
