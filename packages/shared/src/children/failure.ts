import { inspect } from 'node:util'
import { ScError } from '../errors.ts'

const DETAIL_LENGTH = 4_000
/** Of an error that has a cause, which has one, and so on; and of several errors in one. */
const MOST_CAUSES = 5

export interface Failure {
  code: string
  message: string
  retryable: boolean
  detail: string
}

/** What is told of a throw, whatever that is: it never throws itself. `doing` says what was being done: "word-count". */
export function failureOf(thrown: unknown, doing: string): Failure {
  if (thrown instanceof ScError) {
    const { code, message, retryable } = thrown
    return { code, message, retryable, detail: '' }
  }
  const headline = textOf(thrown)
  return {
    code: 'SC_TASK_FAILED',
    message: `${doing} failed. ${[headline, ...causesOf(thrown)].join('; caused by ')}`,
    detail: stackOf(thrown, headline),
    retryable: fieldOf(thrown, 'retryable') !== false
  }
}

/** `TypeError: no such page`. What was thrown may be no error, and reading it may throw. */
export function textOf(thrown: unknown): string {
  try {
    if (thrown instanceof Error) return `${thrown.name}: ${thrown.message}`
    return `Error: ${typeof thrown === 'string' ? thrown : inspect(thrown)}`
  } catch {
    return `Error: (${typeof thrown} without a text)`
  }
}

/** Often what says most: of `fetch failed` only the cause tells which address refused. */
function causesOf(thrown: unknown): string[] {
  const texts: string[] = []
  const next = [thrown]
  while (next.length > 0 && texts.length < MOST_CAUSES) {
    const error = next.shift()
    const [cause, errors] = [fieldOf(error, 'cause'), fieldOf(error, 'errors')]
    const found = [cause, ...(Array.isArray(errors) ? errors : [])].filter(each => each !== undefined && each !== null)
    next.push(...found)
    texts.push(...found.map(textOf))
  }
  return texts.slice(0, MOST_CAUSES)
}

/** Of a stack the begin says where; its first line is told already. */
function stackOf(thrown: unknown, headline: string): string {
  const stack = fieldOf(thrown, 'stack')
  if (typeof stack !== 'string' || stack === headline) return ''
  return (stack.startsWith(`${headline}\n`) ? stack.slice(headline.length + 1) : stack).slice(0, DETAIL_LENGTH)
}

function fieldOf(thrown: unknown, name: 'retryable' | 'cause' | 'errors' | 'stack'): unknown {
  try {
    return (thrown as Record<string, unknown> | null | undefined)?.[name]
  } catch {
    return undefined
  }
}
