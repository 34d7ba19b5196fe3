/**
 * The way of a unit between its queue and a slot, and back. Workers see none of BullMQ: masters take entries for them.
 *
 *   leases -> which workers are ours -> outboxes (read) -> link: wants and holdings -> match -> inbox
 *                                          \-> apply, in PostgreSQL -> release
 *   locks of what is held are renewed here; what is lost goes back into its queue; what is overdue is ended.
 */
import type { Finding } from '@sc/shared/doctor/finding.ts'
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { pause } from '@sc/shared/pause.ts'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Room } from '../cluster/room.ts'
import type { Database } from '../database/schema.ts'
import type { RunOnce } from '../jobs/run-once.ts'
import type { OpenQueues } from '../queues/open-queues.ts'
import { extendLocks, findTaken, giveBack, release, type TakenEntry } from '../queues/queues.ts'
import { createAdopt } from './adopt.ts'
import type { ApplierDeps } from './apply-pending.ts'
import { createGivenOnce, runsOnce } from './given-once.ts'
import { sendInbox } from './inbox.ts'
import { startLeases } from './leases.ts'
import { createLinks, type HeldEntry } from './links.ts'
import { type Matcher, startMatching } from './match.ts'
import { watchSizes } from './outbox-sizes.ts'
import { type Outboxes, startOutboxes } from './outboxes.ts'
import { overdueMessages } from './overdue.ts'
import type { Gravity } from './parse-outbox.ts'
import { startPrefetch } from './prefetch.ts'
import type { Tickets } from './tickets.ts'

export interface Transport {
  /** New entries of this queue are in Redis. */
  queued(name: string): void
  /** One new entry of this queue is in Redis, of which `isAwaited` said that a slot waits for it. */
  queuedOne(name: string): void
  /** These workers may serve other queues than before. */
  registered(workerIds: string[]): void
  /** The workers are others than before. */
  wake(): void
  /** Whether the worker holds the unit just now, as far as this master knows. */
  holds(workerId: string, unitId: string): boolean
  isCaughtUp(): boolean
  /** What is wrong with what workers write. */
  findings(): Finding[]
  /** Entries of this queue that workers hold, as far as this master knows. */
  takenFrom(queue: string): string[]
  /** Whether a slot is idle that would take an entry of this queue. */
  isAwaited(queue: string): boolean
  stop(): Promise<void>
}

export interface TransportDeps {
  db: Database
  redis: Redis
  /** Connections of its own: one for reads that block, one to listen on. */
  blockingRedis: Redis
  subscriber: Redis
  queues: OpenQueues
  tickets: Tickets
  log: Logger
  /** This master, also after its restart. */
  owner: string
  /** Every worker that may take part. */
  workerIds(): Promise<string[]>
  /** See `match.ts`. */
  isPresent(workerId: string): boolean
  /** Where this master is and what it is; undefined: it does not listen yet. */
  address(): { httpUrl: string; localUrl: string; version: string } | undefined
  /** Beside the deadlines of its units: how long a worker may keep an entry. Default: GRACE_MS. */
  graceMs?: number
  apply: ApplierDeps['apply']
  room: Pick<Room, 'mayStore'>
  runOnce: RunOnce
  onRefused(workerId: string, reason: string, gravity: Gravity, cost?: number): void
}

/** What a slot needs beside its units, fetching included. */
const GRACE_MS = 60_000
/** Three renewals fit into LOCK_MS. */
const RENEW_EVERY_MS = 2_000
/** A worker that hears nothing for longer may be without a master. */
const WELCOME_EVERY_MS = 15_000

export async function startTransport(deps: TransportDeps): Promise<Transport> {
  const { db, redis, queues, tickets, log, graceMs = GRACE_MS } = deps
  const links = createLinks()
  const stopping = new AbortController()
  /** Workers that this master serves since a moment ago. */
  const gained = new Set<string>()
  const givenOnce = createGivenOnce({ ...deps, links })
  const matcher: Matcher = await startMatching({ ...deps, links, givenOnce })
  const adopt = createAdopt({
    ...deps,
    links,
    find: async ({ queue, entry }, workerId) => {
      const taken = await findTaken(queues.get(queue), entry, workerId)
      return taken && (await extendLocks([taken])).length === 0 ? taken : undefined
    }
  })

  const outboxes: Outboxes = startOutboxes({
    redis,
    blocking: deps.blockingRedis,
    links,
    tickets,
    log,
    apply: deps.apply,
    mayStore: () => deps.room.mayStore(),
    onHello: (workerId, hello) => void onHello(workerId, hello).catch(logged('welcoming a worker failed')),
    onWants: matcher.wake,
    onUnknown: adopt,
    onLost: (link, lost) => {
      log.warn(
        { workerId: link.workerId, entries: lost.map(({ entry }) => entry) },
        'units lost their worker and wait again'
      )
      void backToQueues(lost)
    },
    onOver: over => void releaseAll(over),
    onBack: back => void backToQueues(back),
    onRefused: deps.onRefused
  })

  const leases = startLeases({
    ...deps,
    onGained: workerId => {
      links.add(workerId)
      outboxes.follow(workerId)
      if (gained.size === 0) queueMicrotask(() => void lookAtGained().catch(logged('looking up workers failed')))
      gained.add(workerId)
    },
    onLost: workerId => {
      const held = links.of(workerId)?.held() ?? []
      links.remove(workerId)
      outboxes.leave(workerId)
      void onLeft(workerId, held).catch(logged('leaving a worker failed'))
    }
  })

  function logged(what: string) {
    return (error: unknown): void => log.debug({ err: error }, what)
  }

  async function lookAtGained(): Promise<void> {
    const workerIds = [...gained]
    gained.clear()
    await look(workerIds)
  }

  /** Which queues they may serve; and tells them where this master is, should another have been there before. */
  async function look(workerIds: string[]): Promise<void> {
    await refresh(workerIds)
    await welcome(workerIds, null)
  }

  async function refresh(workerIds: string[]): Promise<void> {
    if (workerIds.length === 0) return
    const rows = await db.selectFrom('workers').select(['id', 'queues']).where('id', 'in', workerIds).execute()
    for (const { id, queues: names } of rows) links.of(id)?.allow(names ? new Set(names) : 'any')
    matcher.wake()
  }

  async function onHello(
    workerId: string,
    { instance, protocol }: Extract<OutboxMessage, { type: 'hello' }>
  ): Promise<void> {
    log.info({ workerId, instance, protocol }, 'a worker is there')
    await welcome([workerId], instance)
  }

  async function welcome(workerIds: string[], instance: string | null): Promise<void> {
    const address = deps.address()
    if (!address || workerIds.length === 0) return
    const rows = await db.selectFrom('workers').select(['id', 'draining']).where('id', 'in', workerIds).execute()
    const message = { type: 'welcome', instance, protocol: PROTOCOL_VERSION, ...address } as const
    await Promise.all(rows.map(({ id, draining }) => sendInbox(redis, id, { ...message, draining })))
  }

  async function backToQueues(lost: HeldEntry[]): Promise<void> {
    for (const { taken } of lost) {
      // Should that not be written now, it is when it would be given again.
      if (runsOnce(taken) && (await hasEnded(taken))) continue
      // Its lock is another's by now, or Redis is away: the stalled check puts it back.
      await giveBack(taken).catch(logged('units could not be given back'))
      matcher.queued(taken.queue.name)
    }
  }

  /** Of a unit that must not run twice. False: PostgreSQL is away. */
  async function hasEnded(taken: TakenEntry): Promise<boolean> {
    return await givenOnce.end(taken).then(
      () => true,
      () => false
    )
  }

  async function releaseAll(over: HeldEntry[]): Promise<void> {
    await Promise.all(
      over.map(({ taken }) => release(taken).catch(logged('units could not be released: another has them')))
    )
  }

  /** A worker that another master serves keeps what it holds; one that is revoked does not. */
  async function onLeft(workerId: string, held: HeldEntry[]): Promise<void> {
    const isKnown = (await deps.workerIds()).includes(workerId)
    if (!isKnown) await backToQueues(held)
  }

  async function renewLocks(): Promise<void> {
    const held = links.all().flatMap(link => link.held())
    if (held.length === 0) return
    for (const { jobId } of await extendLocks(held.map(({ taken }) => taken)))
      log.debug({ entry: jobId }, 'the lock of units is lost; they run on')
  }

  async function endOverdue(): Promise<void> {
    const nowMs = performance.now()
    for (const link of links.all())
      for (const held of link
        .held()
        .filter(one => one.unread.size > 0 && nowMs - one.sinceMs > one.deadlineMs + graceMs)) {
        const { workerId } = link
        log.warn(
          { workerId, entry: held.entry },
          'units are past their deadline and still with their worker: ended here'
        )
        await sendInbox(redis, workerId, { type: 'cancel', unitIds: [...held.unread] })
        if (runsOnce(held.taken)) {
          link.drop(held.entry)
          await givenOnce.end(held.taken)
          continue
        }
        const unsettled = await deps.apply(await overdueMessages(db, workerId, held))
        link.drop(held.entry)
        await (unsettled.length > 0 ? backToQueues([held]) : releaseAll([held]))
      }
  }

  async function every(ms: number, step: () => Promise<void>, what: string): Promise<void> {
    while (!stopping.signal.aborted) {
      await pause(ms, stopping.signal)
      if (!stopping.signal.aborted && redis.status === 'ready') await step().catch(logged(what))
    }
  }

  const prefetch = startPrefetch({ ...deps, links })
  const sizes = watchSizes({ ...deps, links, isHeldUp: outboxes.isHeldUp })
  const loops = [
    every(RENEW_EVERY_MS, renewLocks, 'locks could not be renewed'),
    every(RENEW_EVERY_MS, endOverdue, 'ending overdue units failed'),
    every(WELCOME_EVERY_MS, () => look(links.all().map(({ workerId }) => workerId)), 'looking up workers failed')
  ]

  return {
    queued: matcher.queued,
    queuedOne: matcher.queuedOne,
    registered: workerIds => void refresh(workerIds).catch(logged('looking up workers failed')),
    wake: leases.wake,
    isCaughtUp: outboxes.isCaughtUp,
    findings: outboxes.findings,
    holds: (workerId, unitId) => links.of(workerId)?.knows(unitId) ?? false,
    takenFrom: queue =>
      links.all().flatMap(link => link.held().flatMap(({ entry, taken }) => (taken.queue.name === queue ? entry : []))),
    isAwaited: matcher.isAwaited,
    stop: async () => {
      stopping.abort()
      await Promise.all([...loops, prefetch.stop(), sizes.stop(), matcher.stop()])
      await leases.stop()
      await outboxes.stop()
    }
  }
}
