import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { z } from 'zod'

/** Of a worker, in the command line and in requests. */
export const WORKER_NAME = /^\w[\w.-]{0,62}$/
export const WORKER_NAME_RULE = "1 to 63 letters, digits, '.', '_' or '-', the first no '.' or '-'"

/**
 * What a machine asks to become a worker, written once under `enrolAskKey(asker)`.
 *
 * | it comes with     | `asker`         | only it may write the key, since            | it shows                     |
 * |-------------------|-----------------|---------------------------------------------|------------------------------|
 * | a join code       | the code's user | each code has a key of its own              | `proof` by the code's secret |
 * | an ordinary login | random          | no restricted login may touch it            | nothing: it may do anything  |
 *
 * The answer stands under `enrolAnswerKey(asker)` for a minute, sealed: only who knows `seal` can open it, so that a code
 * which somebody else read gives nothing of the worker that used it.
 */
export const enrolRequestSchema = z.strictObject({
  asker: z.string().regex(/^[\w-]{8,120}$/),
  name: z.string().regex(WORKER_NAME, `expected ${WORKER_NAME_RULE}`),
  hostname: z
    .string()
    .max(255)
    .regex(/^\P{C}*$/u, 'expected no control characters'),
  /** Of an earlier time, or empty. */
  workerId: z.string().max(100),
  protocol: z.number().int(),
  /** 256 bits, base64url. */
  seal: z.string().regex(/^[\w-]{43}$/),
  proof: z.string().max(100).default('')
})
export type EnrolRequest = z.infer<typeof enrolRequestSchema>
/** In bytes; a request is some 500. */
export const LARGEST_ENROL_REQUEST = 4_096

export const enrolReplySchema = z.union([
  z.object({
    workerId: z.string(),
    /** Opens the master's blob route. */
    key: z.string(),
    /** Of the Redis user named as `workerId`; absent: the worker goes on with the login it came with. */
    secret: z.string().optional()
  }),
  z.object({ error: z.object({ code: z.string(), detail: z.string() }) })
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

/** Shows that one knows the secret of this hash, for these very fields. */
export function proofOf(hash: string, { proof: _, ...fields }: EnrolRequest): string {
  const text = JSON.stringify(Object.entries(fields).sort(([a], [b]) => (a < b ? -1 : 1)))
  return createHmac('sha256', hash).update(text).digest('base64url')
}

export function isProof(hash: string, request: EnrolRequest): boolean {
  const [given, right] = [request.proof, proofOf(hash, request)].map(text => createHash('sha256').update(text).digest())
  return timingSafeEqual(given as Buffer, right as Buffer)
}

const NONCE_BYTES = 12
const TAG_BYTES = 16

export function newSeal(): string {
  return randomBytes(32).toString('base64url')
}

/** AES-256-GCM under the asker's seal, which is used once. */
export function sealReply(seal: string, reply: EnrolReply): string {
  const nonce = randomBytes(NONCE_BYTES)
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(seal, 'base64url'), nonce)
  const sealed = Buffer.concat([cipher.update(JSON.stringify(reply), 'utf8'), cipher.final()])
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url')
}

/** Undefined: it was sealed for somebody else, or is no answer. */
export function openReply(seal: string, text: string): EnrolReply | undefined {
  const bytes = Buffer.from(text, 'base64url')
  const nonce = bytes.subarray(0, NONCE_BYTES)
  try {
    const options = { authTagLength: TAG_BYTES }
    const decipher = createDecipheriv('aes-256-gcm', Buffer.from(seal, 'base64url'), nonce, options)
    decipher.setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES))
    const opened = Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES + TAG_BYTES)), decipher.final()])
    return enrolReplySchema.parse(JSON.parse(opened.toString('utf8')))
  } catch {
    return undefined
  }
}
