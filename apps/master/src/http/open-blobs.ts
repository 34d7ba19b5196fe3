import { ScError } from '@sc/shared/errors.ts'
import type { FastifyReply } from 'fastify'
import { withRetryAfter } from './problem.ts'

/** Of one key. A worker fetches what a few slots need next; more than these would only share the same line. */
const MOST_EACH = 16
const TRY_AGAIN_SECONDS = 2

/** How many answers of one key are under way. SC_RATE_LIMITED above that, so that who reads nothing keeps nobody else waiting. */
export function createOpenBlobs(): { enter(keyId: string, reply: FastifyReply): void } {
  const open = new Map<string, number>()
  return {
    enter: (keyId, { raw }) => {
      // Its client hung up, while its key was looked up: `close` came already.
      if (raw.closed) return
      const count = open.get(keyId) ?? 0
      if (count >= MOST_EACH)
        throw withRetryAfter(
          new ScError('SC_RATE_LIMITED', `This key has ${count} blobs under way; more than ${MOST_EACH} wait.`),
          TRY_AGAIN_SECONDS
        )
      open.set(keyId, count + 1)
      raw.once('close', () => {
        const left = (open.get(keyId) ?? 1) - 1
        if (left > 0) open.set(keyId, left)
        else open.delete(keyId)
      })
    }
  }
}
