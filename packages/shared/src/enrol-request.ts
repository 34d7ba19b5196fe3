import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'

/**
 * What a worker asks on `ENROL_STREAM`, and how it shows who it is: a stream does not tell who wrote an entry, and
 * every worker may write this one.
 *
 * | it comes with          | `replyTo`          | it shows                                              |
 * |------------------------|--------------------|-------------------------------------------------------|
 * | a join code            | `join-…-` + random | `proof` by the code's secret                          |
 * | its own Redis user     | `w-…-` + random    | `proof` by the user's secret                          |
 * | an ordinary login      | random             | `enrolAskKey`, which nobody with fewer rights can set |
 *
 * A worker's and a code's user may read replies to their own name only.
 */
export const enrolRequestSchema = z.object({
  replyTo: z.string().regex(/^[\w-]{8,120}$/),
  name: z.string().min(1).max(100),
  hostname: z.string().max(255),
  /** Of an earlier time, or empty. */
  workerId: z.string().max(100),
  protocol: z.coerce.number().int(),
  /** Capability classes of its slots, with commas. */
  classes: z.string().max(500),
  proof: z.string().max(100).default('')
})
export type EnrolRequest = z.infer<typeof enrolRequestSchema>

export const enrolReplySchema = z.union([
  z.object({
    workerId: z.string(),
    /** Opens the master's blob route; absent: as before. */
    key: z.string().optional(),
    /** Of the Redis user named as `workerId`; absent: as before, or the worker goes on with the login it came with. */
    secret: z.string().optional(),
    draining: z.boolean().optional()
  }),
  z.object({ error: z.union([z.string(), z.object({ code: z.string().optional(), detail: z.string() })]) })
])
export type EnrolReply = z.infer<typeof enrolReplySchema>

export const JOIN_USER = /^join-[0-9a-z]{6,8}-[0-9a-f]{12}$/

/** A join code's Redis user; it says until when the code is good, so that a worker can tell why it is refused. */
export function joinUser(expiresAt: Date, random: string): string {
  return `join-${Math.floor(expiresAt.getTime() / 1000).toString(36)}-${random}`
}

export function joinCodeExpiry(user: string): Date {
  return new Date(Number.parseInt(user.split('-')[1] ?? '', 36) * 1000)
}

/** As Redis keeps passwords. */
export function secretHash(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

/** Shows once, for this `replyTo`, that one knows the secret of this hash. */
export function proofOf(hash: string, replyTo: string): string {
  return createHmac('sha256', hash).update(replyTo).digest('base64url')
}

export function isProof(proof: string, hash: string, replyTo: string): boolean {
  const [given, right] = [proof, proofOf(hash, replyTo)].map(text => createHash('sha256').update(text).digest())
  return timingSafeEqual(given as Buffer, right as Buffer)
}
