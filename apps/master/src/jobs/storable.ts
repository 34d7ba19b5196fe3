import { reportOf } from '@sc/shared/errors.ts'
import { writtenLength } from '@sc/shared/json-depth.ts'
import { LARGEST_MESSAGE, type OutboxMessage } from '@sc/shared/outbox-message.ts'
import { storableJson } from '../database/jsonb.ts'

/** What numbers with an exponent may add to a message that is no result. */
const MOST_ADDED = 64 * 1024

/**
 * A message as PostgreSQL can keep it, which has no NUL and no half of a surrogate pair in JSON, and writes numbers without
 * exponents. A result with such text, or one that grows beyond LARGEST_MESSAGE, is an error of its task; in what is only told
 * (progress, logs, errors) such text becomes U+FFFD. Null: its numbers are too long.
 */
export function storable(message: OutboxMessage): OutboxMessage | null {
  const text = JSON.stringify(message)
  const kept = storableJson(text)
  const length = writtenLength(kept)
  if (message.type !== 'result') {
    if (length - kept.length > MOST_ADDED) return null
    return kept === text ? message : (JSON.parse(kept) as OutboxMessage)
  }
  if (length > LARGEST_MESSAGE)
    return failed(
      message,
      `The output has ${Math.ceil(length / 1024 ** 2)} MB with all digits of its numbers; ${LARGEST_MESSAGE / 1024 ** 2} MB are the most. Write it to a file of your own, and answer where it is.`
    )
  if (kept === text) return message
  return failed(
    message,
    'The output has text with a NUL or half of a surrogate pair (a broken emoji), which cannot be stored.'
  )
}

type Result = Extract<OutboxMessage, { type: 'result' }>

function failed({ output: _, ...rest }: Result, detail: string): OutboxMessage {
  // Such text may be anywhere in the message, and what is wrong with the output may be another thing.
  const about = JSON.parse(storableJson(JSON.stringify(rest))) as Omit<Result, 'output'>
  return { ...about, type: 'error', error: reportOf('SC_TASK_FAILED', detail), retryable: false }
}
