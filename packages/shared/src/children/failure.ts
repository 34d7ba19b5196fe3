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
  const known = tried(() => {
    if (!(thrown instanceof ScError)) return undefined
    const { code, message, retryable } = thrown
    return { code, message, retryable, detail: '' }
  })
  if (known) return known
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
  const text = tried(() => {
    if (thrown instanceof Error) return `${thrown.name}: ${thrown.message}`
    return `Error: ${typeof thrown === 'string' ? thrown : inspect(thrown)}`
  })
  return text ?? `Error: (${typeof thrown} without a text)`
}

/** Often what says most: of `fetch failed` only the cause tells which address refused. */
function causesOf(thrown: unknown): string[] {
  const texts: string[] = []
  const met = new Set([thrown])
  for (const error of met) {
    for (const cause of [fieldOf(error, 'cause'), ...errorsOf(error)]) {
      if (cause === undefined || cause === null || met.has(cause)) continue
      if (texts.push(textOf(cause)) === MOST_CAUSES) return texts
      met.add(cause)
    }
  }
  return texts
}

function errorsOf(thrown: unknown): unknown[] {
  const errors = fieldOf(thrown, 'errors')
  return tried(() => (Array.isArray(errors) ? errors.slice(0, MOST_CAUSES) : [])) ?? []
}

/** The start of a stack says where; its first line is told already. */
function stackOf(thrown: unknown, headline: string): string {
  const stack = fieldOf(thrown, 'stack')
  if (typeof stack !== 'string' || stack === headline) return ''
  return (stack.startsWith(`${headline}\n`) ? stack.slice(headline.length + 1) : stack).slice(0, DETAIL_LENGTH)
}

function fieldOf(thrown: unknown, name: 'retryable' | 'cause' | 'errors' | 'stack'): unknown {
  return tried(() => (thrown as Record<string, unknown> | null | undefined)?.[name])
}

/** Undefined: reading it threw. */
function tried<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
