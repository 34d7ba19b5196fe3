import { ERRORS } from '@sc/shared/errors.ts'
import type { OutboxMessage } from '@sc/shared/unit.ts'

/** In JSON text: an escaped NUL or half of a surrogate pair, not what follows an escaped backslash. */
const NOT_STORABLE = /(?<=(?:^|[^\\])(?:\\\\)*)\\u(?:0000|d[89a-f][0-9a-f]{2})/gi

/**
 * PostgreSQL keeps no NUL and no half of a surrogate pair in JSON. A result with one is an error of its task; in what is
 * only told (progress, logs, errors) they become U+FFFD.
 */
export function storable(message: OutboxMessage): OutboxMessage {
  const json = JSON.stringify(message)
  if (json.search(NOT_STORABLE) === -1) return message
  if (message.type !== 'result') return JSON.parse(json.replaceAll(NOT_STORABLE, '\\ufffd')) as OutboxMessage
  const { output: _, ...about } = message
  const detail = 'The output has text with a NUL or half of a surrogate pair (a broken emoji), which cannot be stored.'
  const error = { code: 'SC_TASK_FAILED', title: ERRORS.SC_TASK_FAILED.title, detail } as const
  return { ...about, type: 'error', error, retryable: false }
}
