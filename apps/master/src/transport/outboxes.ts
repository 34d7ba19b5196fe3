/**
 * DESIGN: the outboxes of the workers that this master serves. Reading goes on while what was read is applied, so that a
 * slot's next want does not wait for the result before it to be in PostgreSQL:
 *
 *   read --wants, states, outcomes--> links          (at once, in memory)
 *     \---everything of rows-------> pending --apply--> PostgreSQL --> delete from the stream --> release entries
 *
 * An entry of the stream is deleted only once it is applied, so a master that is killed in between leaves it to be read
 * again from the start, which changes nothing: every message is guarded. PostgreSQL away: what was read waits, reading goes
 * on up to MOST_PENDING entries, and locks are renewed all the while. What no ticket proves is dropped.
 */
import { pause } from '@sc/shared/pause.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Said } from '../jobs/accept-batch.ts'
import { firstOf, type Pending, settledBy, toApply } from './batch.ts'
import type { HeldEntry, Links, ServedLink } from './links.ts'
import { createNotes, type NotesDeps } from './note-messages.ts'
import { createOutboxParser, type OutboxEntry, type OutboxParser } from './parse-outbox.ts'
import { MOST_READ, readOutboxes } from './read-outboxes.ts'

export interface Outboxes {
  /** From the start of its outbox. */
  follow(workerId: string): void
  leave(workerId: string): void
  /** False while messages wait to be read or applied: what PostgreSQL says of a unit may be old. */
  isCaughtUp(): boolean
  /** Whether what was read waits for PostgreSQL, so that nothing more is read. */
  isHeldUp(): boolean
  stop(): Promise<void>
}

export interface OutboxesDeps extends Omit<NotesDeps, 'onLost'> {
  redis: Redis
  /** A connection of its own: reads block. */
  blocking: Redis
  links: Links
  log: Logger
  /** Applies what workers reported, in PostgreSQL. */
  apply(said: Said[]): Promise<void>
  /** Entries that nobody holds any more. */
  onLost(link: ServedLink, lost: HeldEntry[]): void
  /** Entries of which every outcome is in PostgreSQL. */
  onOver(over: HeldEntry[]): void
}

const BLOCK_MS = 250
/** Entries that wait to be applied. */
const MOST_PENDING = 200
const PAUSE_AFTER_ERROR_MS = 500
/** A stream's ids are of Redis's clock, which may go back a little; beyond what they were when this program began. */
const MOST_AHEAD_MS = 3600_000

/** Characters that are read of one worker in a second: after a large read it waits its turn. */
const MOST_READ_A_SECOND = 8 * 1024 ** 2
const FREE_LENGTH = 1024 ** 2

interface Followed {
  after: string
  /** Not read before. */
  notBeforeMs: number
  parser: OutboxParser
}

export function startOutboxes(deps: OutboxesDeps): Outboxes {
  const { redis, links, log } = deps
  const note = createNotes({ ...deps, onLost: lose })
  const stopping = new AbortController()
  const followed = new Map<string, Followed>()
  let pending: Pending[] = []
  let isRead = false
  let changed = Promise.withResolvers<void>()
  /** Redis's clock, by this machine's steady one. */
  let redisAheadMs: number | undefined

  async function lookAtClock(): Promise<void> {
    const [seconds] = await redis.time()
    redisAheadMs = Number(seconds) * 1000 - performance.now()
  }

  function isFarAhead(id: string): boolean {
    return redisAheadMs !== undefined && Number(id.split('-')[0]) > performance.now() + redisAheadMs + MOST_AHEAD_MS
  }

  /** Another Redis, or one with an older copy of its data, may have begun its streams anew. */
  function onReady(): void {
    for (const workerId of followed.keys()) restart(workerId)
    void lookAtClock().catch(() => {})
  }

  function signal(): void {
    changed.resolve()
    changed = Promise.withResolvers()
  }

  async function round(): Promise<void> {
    const open = [...followed].filter(([, { notBeforeMs }]) => notBeforeMs <= performance.now())
    const positions = open.map(([workerId, { after }]) => ({ workerId, after }))
    if (positions.length === 0) {
      isRead = followed.size === 0
      return await pause(BLOCK_MS, stopping.signal)
    }
    const { read, broken } = await readOutboxes(deps, positions, BLOCK_MS)
    const nowMs = performance.now()
    for (const { workerId } of read) {
      const link = links.of(workerId)
      if (link) link.readMs = nowMs
    }
    for (const workerId of broken) {
      deps.onRefused(workerId, 'its outbox is no stream: made anew', true)
      restart(workerId)
    }
    for (const { workerId, entries } of read) take(workerId, entries)
    isRead = open.length === followed.size && read.every(({ entries }) => entries.length < MOST_READ)
    // What was read has been taken note of: silence is silence.
    if (isRead) judge()
    if (read.length > 0) signal()
    while (pending.length >= MOST_PENDING && !stopping.signal.aborted) {
      isRead = false
      await changed.promise
    }
  }

  function restart(workerId: string): void {
    if (followed.has(workerId)) followed.set(workerId, newFollowed(workerId))
  }

  function newFollowed(workerId: string): Followed {
    return {
      after: '0-0',
      parser: createOutboxParser((reason, isGrave) => deps.onRefused(workerId, reason, isGrave)),
      notBeforeMs: 0
    }
  }

  function take(workerId: string, entries: OutboxEntry[]): void {
    const one = followed.get(workerId)
    const link = links.of(workerId)
    if (!one || !link) return
    let length = 0
    for (const entry of entries) {
      one.after = entry.id
      length += entry.fields?.reduce((sum, field) => sum + field.length, 0) ?? 0
      pending.push(...read(link, one.parser, entry))
    }
    one.notBeforeMs = performance.now() + (length > FREE_LENGTH ? (length / MOST_READ_A_SECOND) * 1000 : 0)
    if (isFarAhead(one.after)) void remake(workerId)
  }

  /** Whatever is in an entry, it holds up no other. */
  function read(link: ServedLink, parser: OutboxParser, entry: OutboxEntry): Pending[] {
    const { workerId } = link
    try {
      const parsed = parser.parse(entry)
      return parsed ? [{ workerId, ids: parsed.ids, messages: parsed.messages.filter(m => note(link, m)) }] : []
    } catch (error) {
      log.debug({ err: error, workerId }, 'an entry could not be read')
      deps.onRefused(workerId, 'an entry could not be read', true)
      return [{ workerId, ids: [entry.id], messages: [] }]
    }
  }

  function lose(link: ServedLink, lost: HeldEntry[]): void {
    if (lost.length > 0) deps.onLost(link, lost)
  }

  function judge(): void {
    const nowMs = performance.now()
    for (const link of links.all()) lose(link, link.lost(nowMs))
  }

  /** Nobody can add to a stream whose last id is the largest, and one of tomorrow is on its way there. */
  async function remake(workerId: string): Promise<void> {
    deps.onRefused(workerId, 'the ids of its outbox are far ahead: made anew', true)
    await redis.del(outboxKey(workerId)).catch(() => {})
    restart(workerId)
  }

  async function applyPending(): Promise<void> {
    const batch = firstOf(pending)
    const said = toApply(batch)
    if (said.length > 0) await deps.apply(said)
    const pipeline = redis.pipeline()
    for (const [workerId, parts] of Map.groupBy(batch, one => one.workerId))
      pipeline.xdel(outboxKey(workerId), ...parts.flatMap(({ ids }) => ids))
    await pipeline.exec()
    pending = pending.slice(batch.length)
    const over = [...Map.groupBy(said, one => one.workerId)].flatMap(
      ([workerId, own]) => links.of(workerId)?.settled(own.flatMap(({ message }) => settledBy(message))) ?? []
    )
    if (over.length > 0) deps.onOver(over)
    signal()
  }

  async function loop(step: () => Promise<void>, what: string): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await step()
      } catch (error) {
        if (stopping.signal.aborted) break
        isRead = false
        log.warn({ err: error }, `${what} failed; trying again`)
        await pause(PAUSE_AFTER_ERROR_MS, stopping.signal)
        const nowMs = performance.now()
        for (const link of links.all()) link.forgive(nowMs)
      }
    }
  }

  deps.blocking.on('ready', onReady)
  void lookAtClock().catch(() => {})
  const reading = loop(round, 'reading the outboxes')
  const applying = loop(async () => {
    if (pending.length === 0) await changed.promise
    else await applyPending()
  }, 'applying what workers reported')

  return {
    follow: workerId => void followed.set(workerId, newFollowed(workerId)),
    leave: workerId => void followed.delete(workerId),
    isCaughtUp: () => isRead && pending.length === 0,
    isHeldUp: () => pending.length >= MOST_PENDING,
    stop: async () => {
      stopping.abort()
      deps.blocking.off('ready', onReady)
      signal()
      // Ends a read that blocks.
      deps.blocking.disconnect()
      await Promise.all([reading, applying])
    }
  }
}
