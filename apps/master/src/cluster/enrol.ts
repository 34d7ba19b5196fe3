import { createHash, randomBytes, randomUUID } from 'node:crypto'
import {
  type EnrolReply,
  type EnrolRequest,
  enrolRequestSchema,
  isProof,
  JOIN_USER,
  LARGEST_ENROL_REQUEST,
  sealReply,
  secretHash
} from '@sc/shared/enrol-request.ts'
import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import { ENROL_ASKERS, enrolAnswerKey, enrolAskKey, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { olderSide } from '@sc/shared/versions.ts'
import type { Redis } from 'ioredis'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database, DatabaseTransaction } from '../database/schema.ts'
import type { Access } from './access.ts'
import { checkJoinCode, findJoinCode } from './join-codes.ts'

/**
 * DESIGN: answers machines that ask to become a worker: each request once, with the worker's id, a Redis user and a key for
 * blobs. A request stands under a key of its own, which the masters look for every LOOK_MS and take away as they read it:
 *
 *   ask key of an open join code, or of an asker in ENROL_ASKERS --> size --> GETDEL --> proof, name, row --> sealed answer
 *
 * One that comes with an ordinary login and the id of an earlier time keeps the id, and its old secrets end. One that has its
 * own login asks nothing: it goes on with `hello` in its outbox.
 */
export interface EnrolDeps {
  db: Database
  redis: Redis
  log: Logger
  access: Pick<Access, 'hasUsers' | 'grantWorker' | 'revokeWorker'>
}

const LOOK_MS = 200
const CODES_EVERY_MS = 1_000
const ANSWER_TTL_MS = 60_000
const ASKERS_AT_ONCE = 20
/** Whoever joins is seen within seconds. One that never was, for so long, gives its name up. */
const UNSEEN_SECONDS = 600
/** To a code that says it is of the same machine, which nobody can check. */
const UNSEEN_SECONDS_OF_HOST = 60
/** A code that was used or grew old lately gets a refusal that says so. */
const REFUSED_FOR = "interval '1 minute'"

export function startEnrolling(deps: EnrolDeps): { stop(): Promise<void> } {
  const stopping = new AbortController()
  let codes: string[] = []
  let readAtMs = Number.NEGATIVE_INFINITY

  async function round(): Promise<void> {
    if (performance.now() - readAtMs > CODES_EVERY_MS) {
      codes = await recentCodes(deps.db)
      readAtMs = performance.now()
    }
    for (const request of await takeRequests(deps, codes))
      await answer(deps, request).catch(error =>
        deps.log.warn({ err: error, asker: request.asker }, 'an enrolment request could not be answered; dropped')
      )
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      if (deps.redis.status === 'ready')
        await round().catch(error => deps.log.debug({ err: error }, 'enrolling failed; trying again'))
      await pause(LOOK_MS, stopping.signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}

async function recentCodes(db: Database): Promise<string[]> {
  const rows = await db
    .selectFrom('join_codes')
    .select('id')
    .where(sql<boolean>`least(used_at, expires_at) > now() - ${sql.raw(REFUSED_FOR)}`)
    .execute()
  return rows.map(({ id }) => id)
}

/** What was asked since: by whom the key says. Too large or no request: dropped. */
async function takeRequests({ redis, log }: EnrolDeps, codes: string[]): Promise<EnrolRequest[]> {
  const askers = [...codes, ...((await redis.lpop(ENROL_ASKERS, ASKERS_AT_ONCE)) ?? [])]
  if (askers.length === 0) return []
  const sizes = redis.pipeline()
  for (const asker of askers) sizes.strlen(enrolAskKey(asker))
  const lengths = (await sizes.exec()) ?? []
  const requests: EnrolRequest[] = []
  for (const [at, asker] of askers.entries()) {
    const length = Number(lengths[at]?.[1] ?? 0)
    if (length === 0) continue
    const text = length > LARGEST_ENROL_REQUEST ? null : await redis.getdel(enrolAskKey(asker))
    if (text === null) await redis.del(enrolAskKey(asker))
    const request = parse(text)
    if (request?.asker === asker) requests.push(request)
    else log.warn({ asker, length }, 'an enrolment request was not valid; dropped')
  }
  return requests
}

/** It may have become another since its size was asked. */
function parse(text: string | null): EnrolRequest | undefined {
  if (text === null || text.length > LARGEST_ENROL_REQUEST) return undefined
  try {
    return enrolRequestSchema.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

async function answer(deps: EnrolDeps, request: EnrolRequest): Promise<void> {
  const { redis, log, access } = deps
  const reply = await enrol(deps, request).catch((error: unknown): EnrolReply => {
    if (!(error instanceof ScError)) throw error
    log.warn({ name: request.name, hostname: request.hostname, code: error.code }, `not enrolled: ${error.message}`)
    return { error: error.toReport() }
  })
  if ('error' in reply && reply.error.code === 'SC_NAME_TAKEN') await noteAsker(deps.db, request)
  if (!('error' in reply)) {
    log.info({ workerId: reply.workerId, name: request.name }, 'worker enrolled')
    await access.grantWorker(reply.workerId)
  }
  await redis.set(enrolAnswerKey(request.asker), sealReply(request.seal, reply), 'PX', ANSWER_TTL_MS)
}

async function enrol(deps: EnrolDeps, request: EnrolRequest): Promise<EnrolReply> {
  checkProtocol(request.protocol)
  const { reply, unseen } = await deps.db.transaction().execute(async trx => {
    if (!JOIN_USER.test(request.asker)) return await welcome(trx, deps, request)
    await checkCode(trx, request)
    const made = await welcome(trx, deps, { ...request, workerId: '' })
    await trx
      .updateTable('join_codes')
      .set({ used_at: sql<Date>`now()`, worker_id: made.reply.workerId })
      .where('id', '=', request.asker)
      .execute()
    return made
  })
  for (const workerId of unseen) await deps.access.revokeWorker(workerId)
  return reply
}

interface Welcome {
  reply: Extract<EnrolReply, { workerId: string }>
  /** Workers that had its name and never came. */
  unseen: string[]
}

/** With new secrets, which end those of before. */
async function welcome(trx: DatabaseTransaction, { access }: EnrolDeps, request: EnrolRequest): Promise<Welcome> {
  const known = request.workerId ? await findWorker(trx, request.workerId) : undefined
  if (known?.revoked_at) throw revoked(known.id)
  const id = known?.id ?? `w-${randomUUID().slice(0, 13)}`
  const unseen = await checkName(trx, request, id)
  await keep(trx, request, id)
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
  if (!access.hasUsers) return { reply: { workerId: id, key }, unseen }
  const secret = randomBytes(32).toString('base64url')
  await trx
    .updateTable('workers')
    .set({ redis_hash: secretHash(secret) })
    .where('id', '=', id)
    .execute()
  return { reply: { workerId: id, key, secret }, unseen }
}

/**
 * One name is one worker, from its joining on. Answers those that had it and are to go, since they never came: of the same
 * machine, whose joining broke off, or of long ago. An ordinary login may do anything, and waits for none of its machine.
 */
async function checkName(
  trx: DatabaseTransaction,
  { asker, name, hostname }: EnrolRequest,
  id: string
): Promise<string[]> {
  const secondsOfHost = JOIN_USER.test(asker) ? UNSEEN_SECONDS_OF_HOST : 0
  const others = await withName(trx, name)
    .select(['id', 'hostname', 'enrolled_at', sql<boolean>`last_seen is null`.as('isUnseen')])
    .select(
      sql<boolean>`last_seen is null and enrolled_at < now() - make_interval(secs =>
        case hostname when ${hostname} then ${secondsOfHost}::integer else ${UNSEEN_SECONDS}::integer end)`.as('isOver')
    )
    .where('id', '!=', id)
    .execute()
  const other = others.find(({ isOver }) => !isOver)
  if (!other) return others.map(one => one.id)
  const since = `Worker ${other.id} (${other.hostname}) is named ${name}, since ${other.enrolled_at.toISOString()}`
  const waiting = other.isUnseen ? '. It was not seen yet: if its joining broke off, try again in a minute; or' : ':'
  throw new ScError(
    'SC_NAME_TAKEN',
    `${since}${waiting} give this one another --name, or remove that one, on the cluster page or by DELETE /api/workers/${other.id}.`
  )
}

const withName = (db: Database, name: string) =>
  db.selectFrom('workers').where('name', '=', name).where('revoked_at', 'is', null)

/** For the doctor: whoever has the name may not be the machine that ought to. */
async function noteAsker(db: Database, { name, hostname }: EnrolRequest): Promise<void> {
  await db
    .updateTable('workers')
    .set({ name_asked_by: hostname, name_asked_at: sql<Date>`now()` })
    .where('id', 'in', withName(db, name).select('id'))
    .execute()
}

async function keep(trx: DatabaseTransaction, { name, hostname }: EnrolRequest, id: string): Promise<void> {
  await trx
    .insertInto('workers')
    .values({ id, name, hostname, queues: [] })
    .onConflict(conflict => conflict.column('id').doUpdateSet({ name, hostname, is_old: false }))
    .execute()
}

async function findWorker(trx: DatabaseTransaction, id: string) {
  return await trx
    .selectFrom('workers')
    .select(['id', 'revoked_at'])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst()
}

async function checkCode(trx: DatabaseTransaction, request: EnrolRequest): Promise<void> {
  const code = await findJoinCode(trx, request.asker)
  if (!code || !isProof(code.hash, request)) throw new ScError('SC_FORBIDDEN', 'There is no such join code.')
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
