import { pause } from '@sc/shared/pause.ts'
import {
  DRAINED_REASON,
  LARGEST_PRESENCE,
  PRESENCE_EVERY_MS,
  type Presence,
  parsePresence
} from '@sc/shared/presence.ts'
import { PROTOCOL_VERSION, presenceKey } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import { sql } from 'kysely'
import type { Logger } from 'pino'
import { toJsonb } from '../database/jsonb.ts'
import type { Database } from '../database/schema.ts'
import { sendControl } from './control.ts'

/** Row of `GET /api/workers`. */
export type WorkerRow = Omit<Presence, 'status'> & {
  status: 'online' | 'draining' | 'offline'
  /** ISO time, by the master's clock. */
  lastSeen: string
}

export interface WorkerPresence {
  /** Every enrolled worker that has been seen, as of the last look. */
  workers(): WorkerRow[]
  /**
   * Whether it is there: one that shows itself nowhere gets no units. Asking for one that was not there at the last look brings
   * another look.
   */
  isPresent(workerId: string): boolean
  /** Whether one of these workers serves a queue, also one that is away or draining. */
  isKnown(queue: string): boolean
  /** Ids of every enrolled worker, seen or not. */
  workerIds(): Promise<string[]>
  stop(): Promise<void>
}

/** Between two looks that were asked for. */
const LEAST_MS = 250
/** Far more than a worker asks for. */
const LONGEST_TTL_MS = 600_000

export interface PresenceDeps {
  db: Database
  redis: Redis
  log: Logger
  /** A worker's presence was dropped unread. */
  onRefused?(workerId: string, reason: string): void
}

/**
 * Looks at the presence keys every 2.5 s, and when somebody asks for a worker that was not there. What was last seen of a
 * worker is kept in PostgreSQL, so that one that is
 * switched off is still shown, and a restarted master knows the cluster it had.
 */
export async function startPresence(deps: PresenceDeps): Promise<WorkerPresence> {
  const stopping = new AbortController()
  let rows: WorkerRow[] = []
  let present = new Set<string>()
  let queues = new Set<string>()
  let lookedMs = Number.NEGATIVE_INFINITY
  let woken = new AbortController()
  const saved = new Map<string, string>()

  async function look(): Promise<void> {
    lookedMs = performance.now()
    woken = new AbortController()
    const known = await deps.db
      .selectFrom('workers')
      .select(['id', 'name', 'presence', 'last_seen', 'draining', 'queues'])
      .where('revoked_at', 'is', null)
      .orderBy('name')
      .execute()
    const texts = await readPresence(
      deps,
      known.map(({ id }) => id)
    )
    const now = new Date()
    const deaf: string[] = []
    rows = known.flatMap(({ id, name, presence, last_seen, draining, queues }): WorkerRow[] => {
      const live = parsePresence(texts.get(id) ?? '')
      // Those that it asks for and is not given would count as slots for what waits there.
      if (live && queues) live.queues = live.queues.filter(queue => queues.includes(queue))
      if (live && missed(live, draining)) deaf.push(id)
      // Who it is it was told when it was let in; what it says of that could be another's.
      if (live) return [{ ...live, id, name, status: draining ? 'draining' : live.status, lastSeen: now.toISOString() }]
      if (!presence || !last_seen) return []
      // What an earlier version kept says less; what was found on a machine that is off is old.
      const { models = [] } = presence
      return [{ ...presence, id, name, models, findings: [], status: 'offline', lastSeen: last_seen.toISOString() }]
    })
    queues = new Set(rows.flatMap(row => row.queues))
    present = new Set(rows.filter(({ status }) => status !== 'offline').map(({ id }) => id))
    for (const id of deaf) await repeatOrder(id)
    for (const { lastSeen: _, ...live } of rows.filter(row => row.status !== 'offline'))
      await save(live as Presence).catch(error =>
        deps.log.debug({ err: error, workerId: live.id }, 'what a worker is could not be kept')
      )
  }

  /** As it is by now: it may have been given since this look began. */
  async function repeatOrder(id: string): Promise<void> {
    const row = await deps.db.selectFrom('workers').select('draining').where('id', '=', id).executeTakeFirst()
    if (row) await sendControl(deps.redis, id, { type: row.draining ? 'drain' : 'resume' })
  }

  async function save(live: Presence): Promise<void> {
    // Live figures change at every look: what a switched-off worker is remembered by does not.
    const lasting = JSON.stringify([
      live.name,
      live.status,
      live.queues,
      live.tasks,
      live.models,
      live.gpus.map(gpu => gpu.uuid)
    ])
    const changed = saved.get(live.id) !== lasting
    saved.set(live.id, lasting)
    await deps.db
      .updateTable('workers')
      .set({
        last_seen: sql<Date>`now()`,
        is_old: sql<boolean>`is_old and ${live.protocol < PROTOCOL_VERSION}`,
        ...(changed && { presence: toJsonb(live) })
      })
      .where('id', '=', live.id)
      .execute()
  }

  await look()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await pause(PRESENCE_EVERY_MS / 2, AbortSignal.any([stopping.signal, woken.signal]))
      await look().catch(error => deps.log.debug({ err: error }, 'looking for workers failed; trying again'))
    }
  })()

  return {
    workers: () => rows,
    isKnown: queue => queues.has(queue),
    isPresent: workerId => {
      if (present.has(workerId)) return true
      if (performance.now() - lookedMs > LEAST_MS) woken.abort()
      return false
    },
    workerIds: async () => {
      const known = await deps.db
        .selectFrom('workers')
        .select('id')
        .where('revoked_at', 'is', null)
        .where('quarantined_at', 'is', null)
        .execute()
      return known.map(({ id }) => id)
    },
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}

/** Sizes are asked before contents are read; what is too large, or would stay for ever, goes unread. */
async function readPresence({ redis, onRefused }: PresenceDeps, ids: string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map()
  const asked = redis.pipeline()
  for (const id of ids) asked.strlen(presenceKey(id)).pttl(presenceKey(id))
  const answers = (await asked.exec()) ?? []
  const refused = ids.flatMap((id, at) => {
    const [length, leftMs] = [Number(answers[2 * at]?.[1] ?? 0), Number(answers[2 * at + 1]?.[1])]
    if (length > LARGEST_PRESENCE)
      return [{ id, reason: `its presence has ${length} bytes; ${LARGEST_PRESENCE} are the most` }]
    if (leftMs === -1 || leftMs > LONGEST_TTL_MS) return [{ id, reason: 'its presence has no expiry, or a late one' }]
    return []
  })
  if (refused.length > 0) await redis.del(refused.map(({ id }) => presenceKey(id)))
  for (const { id, reason } of refused) onRefused?.(id, reason)
  const left = ids.filter(id => refused.every(one => one.id !== id))
  const texts = left.length > 0 ? await redis.mget(left.map(presenceKey)) : []
  return new Map(left.flatMap((id, at) => (texts[at] ? [[id, texts[at]] as const] : [])))
}

/** Whether a worker was away when it was told to drain, or to take units again. */
function missed({ status, reason }: Presence, draining: boolean): boolean {
  return draining ? status === 'online' : reason === DRAINED_REASON
}
