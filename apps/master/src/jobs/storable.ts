import { reportOf } from '@sc/shared/errors.ts'
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { toJsonb } from '../database/jsonb.ts'

/**
 * PostgreSQL keeps no NUL and no half of a surrogate pair in JSON. A result with one is an error of its task; in what is
 * only told (progress, logs, errors) they become U+FFFD.
 */
export function storable(message: OutboxMessage): OutboxMessage {
  const text = JSON.stringify(message)
  // Either would be an escape, which few messages have.
  if (!text.includes('\\u')) return message
  const kept = toJsonb(message)
  if (kept === text) return message
  if (message.type !== 'result') return JSON.parse(kept) as OutboxMessage
  const { output: _, ...about } = message
  const detail = 'The output has text with a NUL or half of a surrogate pair (a broken emoji), which cannot be stored.'
  return { ...about, type: 'error', error: reportOf('SC_TASK_FAILED', detail), retryable: false }
}
