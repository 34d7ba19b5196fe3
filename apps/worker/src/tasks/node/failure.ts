import { ScError } from '@sc/shared/errors.ts'

const DETAIL_LENGTH = 4_000

export interface Failure {
  code: string
  message: string
  retryable: boolean
  detail: string
}

/** What is told of a throw. `doing` says what was being done: "word-count of run 7". */
export function failureOf(thrown: unknown, doing = ''): Failure {
  if (thrown instanceof ScError) {
    const { code, message, retryable } = thrown
    return { code, message, retryable, detail: '' }
  }
  const error = thrown instanceof Error ? thrown : new Error(String(thrown))
  return {
    code: 'SC_TASK_FAILED',
    message: `${doing} failed. ${error.name}: ${error.message}`,
    // Of a stack the begin says where.
    detail: (error.stack ?? '').slice(0, DETAIL_LENGTH),
    retryable: (thrown as { retryable?: unknown } | null)?.retryable !== false
  }
}
