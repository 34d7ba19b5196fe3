import { ScError } from '../errors.ts'

const DETAIL_LENGTH = 4_000

export interface Failure {
  code: string
  message: string
  retryable: boolean
  detail: string
}

/** What is told of a throw. `doing` says what was being done: "word-count". */
export function failureOf(thrown: unknown, doing = ''): Failure {
  if (thrown instanceof ScError) {
    const { code, message, retryable } = thrown
    return { code, message, retryable, detail: '' }
  }
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  const headline = `${error.name}: ${error.message}`
  const stack = error.stack ?? ''
  return {
    code: 'SC_TASK_FAILED',
    message: `${doing} failed. ${headline}`,
    // Of a stack the begin says where; its first line is told already.
    detail: (stack.startsWith(`${headline}\n`) ? stack.slice(headline.length + 1) : stack).slice(0, DETAIL_LENGTH),
    retryable: (thrown as { retryable?: unknown } | null)?.retryable !== false
  }
}
