import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { pause } from '@sc/shared/pause.ts'
import { ENROL_STREAM, enrolReplyKey } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { z } from 'zod'
import type { Database } from '../database/schema.ts'

/**
 * Answers workers that ask to be enrolled: each request once, with the worker's id and a key of its own for blobs.
 * A worker that comes back with the id of an earlier time keeps it, and its old key ends; one that was told to drain is
 * told so again.
 */
export interface EnrolDeps {
  db: Database
  redis: Redis
  blockingRedis: Redis
  log: Logger
  consumer: string
}

const requestSchema = z.object({
  replyTo: z.string().regex(/^[\w-]{8,80}$/),
  name: z.string().min(1).max(100),
  hostname: z.string().max(255),
  workerId: z.string().max(100)
})
type EnrolRequest = z.infer<typeof requestSchema>

const GROUP = 'masters'
const BLOCK_MS = 1_000
const REPLY_TTL_MS = 60_000
const PAUSE_AFTER_ERROR_MS = 500

export function startEnrolling(deps: EnrolDeps): { stop(): Promise<void> } {
  const stopping = new AbortController()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      try {
        await answerNext(deps)
      } catch (error) {
        if (stopping.signal.aborted) break
        deps.log.debug({ err: error }, 'enrolling failed; trying again')
        await pause(PAUSE_AFTER_ERROR_MS, stopping.signal)
      }
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      deps.blockingRedis.disconnect()
      await running
    }
  }
}

type StreamReply = Array<[stream: string, entries: Array<[id: string, fields: string[]]>]> | null

async function answerNext(deps: EnrolDeps): Promise<void> {
  await deps.redis.xgroup('CREATE', ENROL_STREAM, GROUP, '0', 'MKSTREAM').catch((error: Error) => {
    if (!error.message.startsWith('BUSYGROUP')) throw error
  })
  const reply = (await deps.blockingRedis.xreadgroup(
    'GROUP',
    GROUP,
    deps.consumer,
    'COUNT',
    10,
    'BLOCK',
    BLOCK_MS,
    'STREAMS',
    ENROL_STREAM,
    '>'
  )) as StreamReply
  for (const [id, fields] of reply?.[0]?.[1] ?? []) {
    const request = requestSchema.safeParse(toObject(fields))
    if (request.success) await answer(deps, request.data)
    else deps.log.warn({ id }, 'an enrolment request was not valid; dropped')
    await deps.redis.multi().xack(ENROL_STREAM, GROUP, id).xdel(ENROL_STREAM, id).exec()
  }
}

async function answer({ db, redis, log }: EnrolDeps, request: EnrolRequest): Promise<void> {
  const key = `sc_${randomBytes(32).toString('base64url')}`
  const { id: workerId, draining } = await db.transaction().execute(async trx => {
    const known = await trx
      .selectFrom('workers')
      .select('id')
      .where('id', '=', request.workerId)
      .where('revoked_at', 'is', null)
      .executeTakeFirst()
    const id = known?.id ?? `w-${randomUUID().slice(0, 13)}`
    const { name, hostname } = request
    const worker = await trx
      .insertInto('workers')
      .values({ id, name, hostname })
      .onConflict(conflict => conflict.column('id').doUpdateSet({ name, hostname }))
      .returning(['id', 'draining'])
      .executeTakeFirstOrThrow()
    await trx.updateTable('api_keys').set({ revoked_at: new Date() }).where('worker_id', '=', id).execute()
    await trx
      .insertInto('api_keys')
      .values({
        id: randomUUID(),
        name: `worker ${name}`,
        hash: createHash('sha256').update(key).digest(),
        scopes: ['worker'],
        worker_id: id
      })
      .execute()
    return worker
  })
  log.info({ workerId, name: request.name }, 'worker enrolled')
  const replyKey = enrolReplyKey(request.replyTo)
  await redis
    .multi()
    .rpush(replyKey, JSON.stringify({ workerId, key, draining }))
    .pexpire(replyKey, REPLY_TTL_MS)
    .exec()
}

function toObject(fields: string[]): Record<string, string> {
  const object: Record<string, string> = {}
  for (let at = 0; at + 1 < fields.length; at += 2) object[fields[at] as string] = fields[at + 1] as string
  return object
}
