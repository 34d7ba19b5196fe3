import { pause } from '@sc/shared/pause.ts'
import { enrolAnswerKey, enrolAskKey, inboxKey, outboxKey, presenceKey } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import type { Database } from '../database/schema.ts'
import { eachApart } from '../each-apart.ts'
import { leaseKey } from '../queues/keys.ts'
import { sendControl } from './control.ts'
import { createJoinCode, type JoinCode } from './join-codes.ts'
import { revoke, shareOut } from './revoke.ts'
import { joinRights, workerRights } from './rights.ts'

/**
 * DESIGN: who may log in to Redis, and to what. PostgreSQL knows the workers and the join codes, with hashed secrets;
 * `round` makes Redis's users so, again and again: a Redis that is new, or another one, has them a moment after it
 * answers. The Redis that a master starts itself also keeps them over its own restart.
 *
 *   worker enrolled, code made            --wake--> round: SETUSER of those that are not so yet
 *   worker revoked, code used or too old            round: DELUSER, which ends their connections, and all their keys
 *   user of a worker or a code that PostgreSQL does not know, in the master's own Redis    the same
 *
 * Each change is saved, and until that has succeeded each round tries it: a user that is left in the file would return.
 *
 * Where the masters' own login may not make users there are none, and workers share an ordinary login.
 */
export interface Access {
  /** Whether users can be made here. */
  readonly hasUsers: boolean
  /** Makes the worker's user, now. */
  grantWorker(workerId: string): Promise<void>
  /** Ends a worker, also while it is connected. False: there is none of that id. */
  revokeWorker(workerId: string): Promise<boolean>
  /** Turns a worker's login off and removes its keys, until it is forgiven. */
  quarantineWorker(workerId: string): Promise<void>
  /** False: there is no such worker in quarantine. */
  forgiveWorker(workerId: string): Promise<boolean>
  /** SC_CONFIG where no users can be made. `madeBy`: id of the key or the session that asks. */
  createJoinCode(madeBy?: string): Promise<JoinCode>
  /** Users of Redis are others than before. */
  wake(): void
  stop(): Promise<void>
}

export interface AccessDeps {
  db: Database
  redis: Redis
  log: Logger
  /** Redis is the master's own: it keeps users in a file. */
  isOurs: boolean
}

const EVERY_MS = 2_000
/** A used code's login is there so long, to read its answer. */
const ANSWER_READ_SECONDS = 10
/** An order that was sent last is read by then. */
const LAST_ORDER_MS = 50
/** Longest wait of a caller for what PostgreSQL says already. */
const REVOKE_MS = 2_000
const TEST_USER = 'sc-test'

export async function startAccess(deps: AccessDeps): Promise<Access> {
  const { db, redis, log, isOurs } = deps
  const { db: database = 0 } = redis.options
  const hasUsers = await mayMakeUsers(redis)
  if (!hasUsers)
    log.warn(
      'the login of REDIS_URL may not make users in Redis (ACL): workers share an ordinary login, with all its rights'
    )
  const stopping = new AbortController()
  let woken = new AbortController()
  /** What each user was made. */
  const made = new Map<string, string>()
  /** The file may have other users than Redis. */
  let isUnsaved = true
  const onReady = (): void => {
    made.clear()
    wake()
  }
  redis.on('ready', onReady)

  async function set(user: string, rights: string[]): Promise<void> {
    const text = rights.join(' ')
    if (made.get(user) === text) return
    isUnsaved = true
    await redis.call('ACL', 'SETUSER', user, ...rights)
    made.set(user, text)
  }

  async function remove(users: string[]): Promise<void> {
    if (users.length === 0) return
    for (const user of users) made.delete(user)
    isUnsaved = true
    await redis.call('ACL', 'DELUSER', ...users)
  }

  async function save(): Promise<void> {
    if (!isOurs || !isUnsaved) return
    isUnsaved = false
    try {
      await redis.call('ACL', 'SAVE')
    } catch (error) {
      isUnsaved = true
      throw error
    }
  }

  async function grant(workerId?: string): Promise<void> {
    if (!hasUsers) return
    let query = db
      .selectFrom('workers')
      .select(['id', 'redis_hash', 'is_old'])
      .where('revoked_at', 'is', null)
      .where('quarantined_at', 'is', null)
    if (workerId !== undefined) query = query.where('id', '=', workerId)
    const rows = await query.where('redis_hash', 'is not', null).execute()
    const granting = eachApart(rows, ({ id, redis_hash: hash, is_old: isOld }) =>
      set(id, workerRights({ id, hash: hash as string, isOld, database }))
    )
    await granting.finally(save)
  }

  async function round(): Promise<void> {
    if (!hasUsers || redis.status !== 'ready') return
    await eachApart([grant, endRevoked, shutOutQuarantined, renewCodes, endStrangers, save], step => step())
  }

  async function endRevoked(): Promise<void> {
    const revoked = await db
      .selectFrom('workers')
      .select('id')
      .where('revoked_at', 'is not', null)
      .where('redis_hash', 'is not', null)
      .execute()
    await eachApart(revoked, ({ id }) => end(id))
  }

  async function shutOutQuarantined(): Promise<void> {
    const quarantined = await db.selectFrom('workers').select('id').where('quarantined_at', 'is not', null).execute()
    await eachApart(
      quarantined.filter(({ id }) => made.get(id) !== GONE),
      ({ id }) => shutOut(id)
    )
    // A master that served it a moment ago may have written to it once more.
    if (quarantined.length > 0) await redis.del(quarantined.flatMap(({ id }) => keysOf(id)))
  }

  async function renewCodes(): Promise<void> {
    const codes = await db
      .selectFrom('join_codes')
      .select(['id', 'hash', sql<boolean>`used_at is null and expires_at > now()`.as('good')])
      .where(sql<boolean>`coalesce(used_at, expires_at) > now() - interval '1 day'`)
      .where(sql<boolean>`used_at is null or used_at < now() - make_interval(secs => ${ANSWER_READ_SECONDS})`)
      .execute()
    await eachApart(
      codes.filter(({ good }) => good),
      ({ id, hash }) => set(id, joinRights(id, hash, database))
    )
    const over = codes.filter(({ id, good }) => !good && made.get(id) !== GONE).map(({ id }) => id)
    await remove(over)
    if (over.length > 0) await redis.del(over.flatMap(keysOf))
    for (const id of over) made.set(id, GONE)
  }

  async function endStrangers(): Promise<void> {
    if (!isOurs) return
    // First: PostgreSQL knows each before Redis does.
    const users = (await redis.call('ACL', 'USERS')) as string[]
    const { rows } = await sql<{ id: string }>`
      select id from workers where redis_hash is not null
      union all select id from join_codes where used_at > now() - make_interval(secs => ${ANSWER_READ_SECONDS})
        or used_at is null and expires_at > now()`.execute(db)
    const known = new Set(rows.map(({ id }) => id))
    const strangers = users.filter(user => /^(w|join)-/.test(user) && !known.has(user))
    if (strangers.length === 0) return
    log.warn({ users: strangers }, 'Redis had users that PostgreSQL does not know: ended')
    await remove(strangers)
    await redis.del(strangers.flatMap(keysOf))
  }

  async function shutOut(workerId: string): Promise<void> {
    if (hasUsers) await remove([workerId])
    await save()
    await redis.del(keysOf(workerId))
    made.set(workerId, GONE)
  }

  /** What can be undone only in Redis. Once it is, the hash goes too. */
  async function end(workerId: string): Promise<void> {
    await sendControl(redis, workerId, { type: 'revoked' })
    await pause(LAST_ORDER_MS, stopping.signal)
    await shutOut(workerId)
    await db.updateTable('workers').set({ redis_hash: null }).where('id', '=', workerId).execute()
  }

  function wake(): void {
    woken.abort()
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      woken = new AbortController()
      await round().catch(error => log.debug({ err: error }, 'making users of Redis failed; trying again'))
      await pause(EVERY_MS, AbortSignal.any([stopping.signal, woken.signal]))
    }
  })()

  return {
    hasUsers,
    grantWorker: grant,
    revokeWorker: async workerId => {
      if (!(await revoke(db, workerId))) return false
      log.info({ workerId }, 'worker revoked')
      await shareOut(db)
      // Redis away, or held up by a script: a later round does it.
      const ending = end(workerId).catch(error =>
        log.debug({ err: error, workerId }, 'revoking in Redis failed; trying again')
      )
      await Promise.race([ending, pause(REVOKE_MS, stopping.signal)])
      return true
    },
    quarantineWorker: async workerId => {
      await db
        .updateTable('workers')
        .set({ quarantined_at: sql<Date>`coalesce(quarantined_at, now())` })
        .where('id', '=', workerId)
        .where('revoked_at', 'is', null)
        .execute()
      log.warn({ workerId }, 'worker quarantined: it wrote too much that no worker writes')
      if (redis.status === 'ready') await shutOut(workerId)
    },
    forgiveWorker: async workerId => {
      const forgiven = await db
        .updateTable('workers')
        .set({ quarantined_at: null, offences: 0, last_offence: null, last_offence_at: null })
        .where('id', '=', workerId)
        .where('quarantined_at', 'is not', null)
        .returning('id')
        .executeTakeFirst()
      made.delete(workerId)
      if (forgiven) await grant(workerId)
      return forgiven !== undefined
    },
    createJoinCode: async madeBy => {
      const code = await createJoinCode(db, hasUsers, madeBy)
      await set(code.user, joinRights(code.user, code.hash, database))
      return code
    },
    wake,
    stop: async () => {
      stopping.abort()
      redis.off('ready', onReady)
      await running
    }
  }
}

/** In place of a user's rights: it was removed. */
const GONE = ''

/** Whether this login may, and the server knows selectors. */
async function mayMakeUsers(redis: Redis): Promise<boolean> {
  try {
    await redis.call('ACL', 'SETUSER', TEST_USER, 'reset', '-@all', '(+xread %R~sc-test)')
    await redis.call('ACL', 'DELUSER', TEST_USER)
    return true
  } catch {
    return false
  }
}

function keysOf(user: string): string[] {
  if (user.startsWith('join-')) return [enrolAskKey(user), enrolAnswerKey(user)]
  return [inboxKey(user), outboxKey(user), presenceKey(user), leaseKey(user)]
}
