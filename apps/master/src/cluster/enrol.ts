import { createHash, randomBytes, randomUUID } from 'node:crypto'
import {
  type EnrolReply,
  type EnrolRequest,
  enrolRequestSchema,
  isProof,
  JOIN_USER,
  secretHash
} from '@sc/shared/enrol-request.ts'
import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import { ENROL_STREAM, enrolAskKey, enrolReplyKey, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { olderSide } from '@sc/shared/versions.ts'
import type { Redis } from 'ioredis'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database, DatabaseTransaction } from '../database/schema.ts'
import type { Access } from './access.ts'
import { checkJoinCode, findJoinCode } from './join-codes.ts'
import { queuesOfWorker } from './rights.ts'

/**
 * Answers workers that ask to be enrolled: each request once, with the worker's id, a Redis user and a key for blobs.
 * One that comes back with its own user keeps all of them; one that comes with an ordinary login and the id of an earlier
 * time keeps the id, and its old secrets end; one that was told to drain is told so again. How each shows who it is
 * stands in `enrol-request.ts`.
 */
export interface EnrolDeps {
  db: Database
  redis: Redis
  blockingRedis: Redis
  log: Logger
  consumer: string
  access: Pick<Access, 'hasUsers' | 'grantWorker' | 'dropJoinCode'>
}

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
    const request = enrolRequestSchema.safeParse(toObject(fields))
    if (request.success) await answer(deps, request.data)
    else deps.log.warn({ id }, 'an enrolment request was not valid; dropped')
    await deps.redis.multi().xack(ENROL_STREAM, GROUP, id).xdel(ENROL_STREAM, id).exec()
  }
}

async function answer(deps: EnrolDeps, request: EnrolRequest): Promise<void> {
  const { redis, log, access } = deps
  const code = codeOf(request)
  const reply = await enrol(deps, request, code).catch((error: unknown): EnrolReply => {
    if (!(error instanceof ScError)) throw error
    log.warn({ name: request.name, hostname: request.hostname, code: error.code }, `not enrolled: ${error.message}`)
    return { error: error.toReport() }
  })
  if (!('error' in reply)) {
    log.info({ workerId: reply.workerId, name: request.name }, 'worker enrolled')
    await access.grantWorker(reply.workerId)
  }
  const replyKey = enrolReplyKey(request.replyTo)
  await redis.multi().rpush(replyKey, JSON.stringify(reply)).pexpire(replyKey, REPLY_TTL_MS).exec()
  if (code !== null && !('error' in reply))
    void access
      .dropJoinCode(code, request.replyTo)
      .catch(error => log.debug({ err: error }, 'a code stays for a while'))
}

async function enrol(deps: EnrolDeps, request: EnrolRequest, code: string | null): Promise<EnrolReply> {
  checkProtocol(request.protocol)
  return await deps.db.transaction().execute(async trx => {
    if (code !== null) {
      await checkCode(trx, code, request)
      const made = await welcome(trx, deps, { ...request, workerId: '' })
      await trx
        .updateTable('join_codes')
        .set({ used_at: sql<Date>`now()`, worker_id: made.workerId })
        .where('id', '=', code)
        .execute()
      return made
    }
    if (request.proof !== '') return await welcomeBack(trx, request)
    if ((await deps.redis.getdel(enrolAskKey(request.replyTo))) === null)
      throw new ScError('SC_FORBIDDEN', 'The request does not show who it is from.')
    return await welcome(trx, deps, request)
  })
}

/** It came with its own user: what it has stays. */
async function welcomeBack(trx: DatabaseTransaction, request: EnrolRequest): Promise<EnrolReply> {
  const { workerId, replyTo, proof } = request
  const known = await findWorker(trx, workerId)
  if (known?.revoked_at) throw revoked(workerId)
  const isOwn = known?.redis_hash && replyTo.startsWith(`${workerId}-`) && isProof(proof, known.redis_hash, replyTo)
  if (!isOwn) throw new ScError('SC_FORBIDDEN', 'The request does not show who it is from.')
  const { draining } = await keep(trx, request, workerId)
  return { workerId, draining }
}

/** With new secrets, which end those of before. */
async function welcome(
  trx: DatabaseTransaction,
  { access }: EnrolDeps,
  request: EnrolRequest
): Promise<Extract<EnrolReply, { workerId: string }>> {
  const known = request.workerId ? await findWorker(trx, request.workerId) : undefined
  if (known?.revoked_at) throw revoked(known.id)
  const id = known?.id ?? `w-${randomUUID().slice(0, 13)}`
  const { draining } = await keep(trx, request, id)
  const key = `sc_${randomBytes(32).toString('base64url')}`
  await trx.updateTable('api_keys').set({ revoked_at: new Date() }).where('worker_id', '=', id).execute()
  await trx
    .insertInto('api_keys')
    .values({
      id: randomUUID(),
      name: `worker ${request.name}`,
      hash: createHash('sha256').update(key).digest(),
      scopes: ['worker'],
      worker_id: id
    })
    .execute()
  if (!access.hasUsers) return { workerId: id, key, draining }
  const secret = randomBytes(32).toString('base64url')
  await trx
    .updateTable('workers')
    .set({ redis_hash: secretHash(secret) })
    .where('id', '=', id)
    .execute()
  return { workerId: id, key, secret, draining }
}

/** Its row, with the queues that follow from what it is now and the tasks that it last registered. */
async function keep(
  trx: DatabaseTransaction,
  { name, hostname, classes }: EnrolRequest,
  id: string
): Promise<{ draining: boolean }> {
  const before = await trx.selectFrom('workers').select('tasks').where('id', '=', id).executeTakeFirst()
  const queues = queuesOfWorker(classes.split(','), before?.tasks ?? [])
  return await trx
    .insertInto('workers')
    .values({ id, name, hostname, queues })
    .onConflict(conflict => conflict.column('id').doUpdateSet({ name, hostname, queues }))
    .returning('draining')
    .executeTakeFirstOrThrow()
}

async function findWorker(trx: DatabaseTransaction, id: string) {
  return await trx
    .selectFrom('workers')
    .select(['id', 'revoked_at', 'redis_hash'])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst()
}

function codeOf({ replyTo }: EnrolRequest): string | null {
  const user = replyTo.split('-').slice(0, 3).join('-')
  return JOIN_USER.test(user) ? user : null
}

async function checkCode(trx: DatabaseTransaction, user: string, { replyTo, proof }: EnrolRequest): Promise<void> {
  const code = await findJoinCode(trx, user)
  if (!code || !isProof(proof, code.hash, replyTo)) throw new ScError('SC_FORBIDDEN', 'There is no such join code.')
  checkJoinCode(code)
}

function checkProtocol(protocol: number): void {
  if (protocol === PROTOCOL_VERSION) return
  throw new ScError(
    'SC_PROTOCOL_VERSION',
    `The master speaks protocol ${PROTOCOL_VERSION} and this worker ${protocol}: update ${olderSide(PROTOCOL_VERSION, protocol)}.`
  )
}

function revoked(workerId: string): ScError {
  return new ScError('SC_REVOKED', `Worker ${workerId} was revoked.`)
}

function toObject(fields: string[]): Record<string, string> {
  const object: Record<string, string> = {}
  for (let at = 0; at + 1 < fields.length; at += 2) object[fields[at] as string] = fields[at + 1] as string
  return object
}
