import { ScError } from '@sc/shared/errors.ts'
import type { FastifyRequest } from 'fastify'

export const MAX_IDEMPOTENCY_KEY_CHARS = 255

/** The header `Idempotency-Key`; null: there is none. */
export function readIdempotencyKey(request: FastifyRequest): string | null {
  const key = request.headers['idempotency-key']
  if (key === undefined) return null
  if (typeof key === 'string' && key.length > 0 && key.length <= MAX_IDEMPOTENCY_KEY_CHARS) return key
  throw new ScError('SC_BAD_REQUEST', `Idempotency-Key: expected 1 to ${MAX_IDEMPOTENCY_KEY_CHARS} characters.`)
}
