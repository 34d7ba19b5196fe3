import { ScError } from '@sc/shared/errors.ts'
import type { JobPlace } from '../jobs/select-jobs.ts'

/** A place in a list of jobs, as clients carry it from page to page. */
export function formatJobCursor({ createdUs, id }: JobPlace): string {
  return Buffer.from(`${createdUs}.${id}`).toString('base64url')
}

export function parseJobCursor(cursor: string): JobPlace {
  const [, createdUs, id] = /^(\d{1,18})\.([\x20-\x7e]+)$/.exec(Buffer.from(cursor, 'base64url').toString('utf8')) ?? []
  if (createdUs && id) return { createdUs, id }
  throw new ScError('SC_BAD_REQUEST', 'cursor: expected the nextCursor of an earlier page.')
}
