/**
 * DESIGN: the outboxes of the workers that this master serves. Reading goes on while what was read is applied, so that a
 * slot's next want does not wait for the result before it to be in PostgreSQL:
 *
 *   read --wants, states, outcomes--> links          (at once, in memory)
 *     \---everything of rows-------> queue of the worker --turns (`batch.ts`)--> PostgreSQL --> delete --> release entries
 *
 * An entry of the stream is deleted only once it is applied, so a master that is killed in between leaves it to be read
 * again from the start, which changes nothing: every message is guarded. PostgreSQL away: what was read waits, reading goes
 * on up to MOST_PENDING pieces of a worker, and locks are renewed all the while. What no ticket proves is dropped.
 *
 * No worker holds up another: each has its own queue, is read at its own pace, and is judged by its own silence. Those that
 * write much share what is read of all of them (`read-pace.ts`).
 */
import { setImmediate } from 'node:timers/promises'
import type { Finding } from '@sc/shared/doctor/finding.ts'
import { pause } from '@sc/shared/pause.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { type ApplierDeps, createApplier } from './apply-pending.ts'
import { type Piece, type Share, toPieces, withoutStale } from './batch.ts'
import { type Behind, createBehind } from './behind.ts'
import type { HeldEntry, Links, ServedLink } from './links.ts'
import { createNotes, type NotesDeps } from './note-messages.ts'
import { createOutboxParser, type Gravity, type OutboxEntry, type OutboxParser, type Parsed } from './parse-outbox.ts'
import { createReadLately } from './read-lately.ts'
import { MOST_READ, readOutboxes } from './read-outboxes.ts'
import { createCommonPace, createReadPace, type ReadPace, readsNow } from './read-pace.ts'
import { createRedisClock } from './redis-clock.ts'

export interface Outboxes {
  /** From the start of its outbox. */
  follow(workerId: string): void
  leave(workerId: string): void
  /**
   * False while messages wait to be read or applied: what PostgreSQL says of a unit may be old. A worker that is behind for
   * long, since it writes more than its share, does not count: others do not wait for it.
   */
  isCaughtUp(): boolean
  /** Whether what was read waits for PostgreSQL: that outboxes grow is no fault of their workers then. */
  isHeldUp(): boolean
  /** Who wrote most, while the disk has no room for it. */
  findings(): Finding[]
  stop(): Promise<void>
}

export interface OutboxesDeps
  extends Omit<NotesDeps, 'onLost' | 'onRefused'>,
    Pick<ApplierDeps, 'apply' | 'mayStore' | 'onOver' | 'onBack'> {
  redis: Redis
  /** A connection of its own: reads block. */
  blocking: Redis
  links: Links
  log: Logger
  /** Entries that nobody holds any more. */
  onLost(link: ServedLink, lost: HeldEntry[]): void
  /** `cost`: of reading it, in characters. */
  onRefused(workerId: string, reason: string, gravity: Gravity, cost: number): void
}

const BLOCK_MS = 250
/** While some worker is not read: it may be soon. */
const SHORT_BLOCK_MS = 20
/** Pieces of one worker that wait to be applied. */
const MOST_PENDING = 50
const PAUSE_AFTER_ERROR_MS = 500
/** An entry that costs more is followed by whatever else is to be done. */
const LARGE_COST = 64 * 1024
/** Two states of a worker, of what was given by another master, and the time to take that over. */
const SURE_AFTER_MS = 5_000
/** Beside LOST_MS. */
const MORE_SILENCE_MS = 15_000

interface Followed {
  workerId: string
  after: string
  pace: ReadPace
  parser: OutboxParser
  /** Read, and not applied yet. */
  pending: Piece[]
  /** There was nothing more at the last look. */
  isRead: boolean
  behind: Behind
}

export function startOutboxes(deps: OutboxesDeps): Outboxes {
  const { redis, links, log } = deps
  const note = createNotes({ ...deps, onLost: lose, onRefused: refuse })
  const stopping = new AbortController()
  /** In the order of their turns. */
  const followed = new Map<string, Followed>()
  let changed = Promise.withResolvers<void>()
  const clock = createRedisClock(redis)
  const common = createCommonPace()
  const lately = createReadLately()
  /** What it cost to read what is just now looked at. */
  let costOfThis = 0

  const applier = createApplier({
    ...deps,
    stopping: stopping.signal,
    queues: () => [...followed].map(([workerId, { pending }]) => [workerId, pending]),
    onApplied,
    onRefused: refuse
  })
  const { isHeldUp } = applier

  /** Whose turn it was goes behind the others. */
  function onApplied(batch: Share[]): void {
    for (const { workerId, pieces } of batch) {
      const one = followed.get(workerId)
      if (!one) continue
      const done = new Set(pieces)
      one.pending = one.pending.filter(piece => !done.has(piece))
      followed.delete(workerId)
      followed.set(workerId, one)
    }
    signal()
  }

  /** Another Redis, or one with an older copy of its data, may have begun its streams anew. */
  function onReady(): void {
    for (const workerId of followed.keys()) restart(workerId)
    clock.look()
  }

  function signal(): void {
    changed.resolve()
    changed = Promise.withResolvers()
  }

  function refuse(workerId: string, reason: string, gravity: Gravity): void {
    const one = followed.get(workerId)
    if (gravity === 'flood') one?.pace.flooded()
    deps.onRefused(workerId, reason, gravity, costOfThis)
    // Counted once, however much of it is refused.
    costOfThis = 0
  }

  async function round(): Promise<void> {
    for (const one of followed.values()) {
      // That PostgreSQL is away is nobody's fault.
      if (isHeldUp()) one.behind.skip()
      else one.behind.age(!isDone(one))
    }
    const { now: open, entries: most } = readsNow([...followed.values()].filter(isOpen), common, MOST_READ)
    const asked = new Set(open)
    for (const one of followed.values()) if (!asked.has(one)) one.isRead = false
    if (open.length === 0) return await pause(followed.size === 0 ? BLOCK_MS : SHORT_BLOCK_MS, stopping.signal)
    for (const { pace } of open) pace.asked()
    const blockMs = open.length === followed.size ? BLOCK_MS : SHORT_BLOCK_MS
    const askedMs = performance.now()
    const { read, broken } = await readOutboxes(deps, open, most, blockMs)
    const nowMs = performance.now()
    for (const workerId of broken) {
      refuse(workerId, 'its outbox is no stream: made anew', 'grave')
      restart(workerId)
    }
    for (const { workerId, entries } of read) {
      const link = links.of(workerId)
      if (link) link.readMs = nowMs
      await take(workerId, entries)
    }
    const more = new Set(read.filter(({ entries }) => entries.length === most).map(({ workerId }) => workerId))
    for (const one of open) one.isRead = broken.length === 0 && !more.has(one.workerId)
    judge(askedMs)
    if (read.length > 0) signal()
  }

  /**
   * What there was at `nowMs` has been taken note of: silence is silence. Not so by now: signs that came while this master was
   * busy, or stood still, are not read yet. Of who is not read to the end there may be some from before, too.
   */
  function judge(nowMs: number): void {
    for (const [workerId, one] of followed) {
      const link = links.of(workerId)
      if (link && one.isRead) link.sureFromMs = Math.min(link.sureFromMs, nowMs + SURE_AFTER_MS)
      if (link && (one.isRead || !isHeldUp())) lose(link, link.lost(one.isRead ? nowMs : nowMs - MORE_SILENCE_MS))
    }
  }

  function isOpen({ pace, pending }: Followed): boolean {
    return pace.isOpen() && pending.length < MOST_PENDING
  }

  function restart(workerId: string): void {
    const before = followed.get(workerId)
    if (!before) return
    const { pending, pace, behind } = before
    followed.set(workerId, { ...newFollowed(workerId), pending, pace, behind })
  }

  function newFollowed(workerId: string): Followed {
    return {
      workerId,
      after: '0-0',
      parser: createOutboxParser((reason, gravity) => refuse(workerId, reason, gravity)),
      pace: createReadPace(common),
      pending: [],
      isRead: false,
      behind: createBehind()
    }
  }

  async function take(workerId: string, entries: OutboxEntry[]): Promise<void> {
    const one = followed.get(workerId)
    if (!one) return
    const parsed: Parsed[] = []
    let cost = 0
    for (const entry of entries) {
      parsed.push(...parse(workerId, one.parser, entry))
      const entryCost = one.parser.takeCost()
      cost += entryCost
      if (entryCost > LARGE_COST) await setImmediate()
    }
    const link = links.of(workerId)
    // It left meanwhile, or is read from the start again.
    if (!link || followed.get(workerId) !== one) return
    one.after = entries.at(-1)?.id ?? one.after
    const ids = parsed.flatMap(each => each.ids)
    const all = withoutStale(parsed.flatMap(each => each.messages))
    const messages = all.filter(message => {
      costOfThis = cost / all.length
      return note(link, message)
    })
    costOfThis = 0
    if (messages.length > 0) lately.add(workerId, cost)
    if (ids.length > 0) one.pending.push(...toPieces({ ids, messages }, performance.now()))
    one.pace.read(messages, entries.length, cost)
    if (clock.isFarAhead(one.after)) void remake(workerId)
  }

  /** Whatever is in an entry, it holds up no other. */
  function parse(workerId: string, parser: OutboxParser, entry: OutboxEntry): Parsed[] {
    costOfThis = entry.fields?.reduce((sum, field) => sum + field.length, 0) ?? 0
    try {
      const parsed = parser.parse(entry)
      return parsed ? [parsed] : []
    } catch (error) {
      log.debug({ err: error, workerId }, 'an entry could not be read')
      refuse(workerId, 'an entry could not be read', 'grave')
      return [{ ids: [entry.id], messages: [] }]
    } finally {
      costOfThis = 0
    }
  }

  function lose(link: ServedLink, lost: HeldEntry[]): void {
    if (lost.length > 0) deps.onLost(link, lost)
  }

  /** Nobody can add to a stream whose last id is the largest, and one of tomorrow is on its way there. */
  async function remake(workerId: string): Promise<void> {
    refuse(workerId, 'the ids of its outbox are far ahead: made anew', 'grave')
    await redis.del(outboxKey(workerId)).catch(() => {})
    restart(workerId)
  }

  async function loop(step: () => Promise<void>, what: string): Promise<void> {
    while (!stopping.signal.aborted) {
      try {
        await step()
      } catch (error) {
        if (stopping.signal.aborted) break
        for (const one of followed.values()) one.isRead = false
        log.warn({ err: error }, `${what} failed; trying again`)
        await pause(PAUSE_AFTER_ERROR_MS, stopping.signal)
        const nowMs = performance.now()
        for (const link of links.all()) link.forgive(nowMs)
      }
    }
  }

  deps.blocking.on('ready', onReady)
  clock.look()
  const reading = loop(round, 'reading the outboxes')
  const applying = loop(async () => {
    // Taken before: what comes while it looks is not to be missed.
    const { promise } = changed
    if (!(await applier.applyNext())) await promise
  }, 'applying what workers reported')

  function isDone({ isRead, pending }: Followed): boolean {
    return isRead && pending.length === 0
  }

  return {
    follow: workerId => void followed.set(workerId, newFollowed(workerId)),
    leave: workerId => void followed.delete(workerId),
    isCaughtUp: () => !isHeldUp() && [...followed.values()].every(one => isDone(one) || one.behind.isTooLong()),
    isHeldUp,
    findings: () => (deps.mayStore() ? [] : lately.findings()),
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
