import { pause } from '@sc/shared/pause.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { isDatabaseAway } from '../database/connect.ts'
import type { Said } from '../jobs/accept-batch.ts'
import type { Unsettled } from '../jobs/unsettled.ts'
import { nextBatch, type Piece, type Share, settledBy, toApply } from './batch.ts'
import type { HeldEntry, Links } from './links.ts'
import type { Gravity } from './parse-outbox.ts'

/** While the disk has no room. */
const LOOK_AGAIN_MS = 500
/** A batch takes longer only where PostgreSQL does not answer. */
const HELD_UP_MS = 5_000

export interface Applier {
  /** Applies the next batch, once there is room for it; false: nothing waits. Throws while PostgreSQL or Redis is away: then it is to be tried again. */
  applyNext(): Promise<boolean>
  /** Whether what was read waits for PostgreSQL, or for room on the disk. */
  isHeldUp(): boolean
}

export interface ApplierDeps {
  redis: Redis
  links: Links
  log: Logger
  stopping: AbortSignal
  /** False while the disk has no room for it. */
  mayStore(): boolean
  /** What was read of each worker, in the order of their turns. */
  queues(): Array<[workerId: string, pieces: Piece[]]>
  /** Applies what workers reported, in PostgreSQL; answers which outcomes settled nothing. */
  apply(said: Said[]): Promise<Unsettled[]>
  /** These are done with, and out of the streams. */
  onApplied(batch: Share[]): void
  /** Entries of which every outcome is in PostgreSQL. */
  onOver(over: HeldEntry[]): void
  /** Entries that are taken from their worker: what it said of a unit counts for nothing, and nobody else has it. */
  onBack(back: HeldEntry[]): void
  onRefused(workerId: string, reason: string, gravity: Gravity): void
}

/**
 * Brings what was read of the outboxes into PostgreSQL, and then out of the streams. A batch that cannot be applied, with
 * PostgreSQL and Redis there, is tried piece by piece, and the piece that is to blame is dropped.
 */
export function createApplier(deps: ApplierDeps): Applier {
  const { redis, links, log } = deps
  /** Since when a batch is being applied, or waits for PostgreSQL. */
  let sinceMs: number | null = null
  /** The last batch could not be applied as a whole. */
  let isPiecewise = false

  async function apply(batch: Share[]): Promise<void> {
    const reported = toApply(batch)
    const unsettled = reported.length > 0 ? await deps.apply(reported) : []
    await forget(batch)
    const kept = keep(unsettled)
    const over = [...Map.groupBy(reported, one => one.workerId)].flatMap(([workerId, own]) => {
      const isReturn = ({ message }: Said): boolean => message.type === 'returned'
      const unitIds = (some: Said[]): string[] =>
        some.flatMap(({ message }) => settledBy(message)).filter(id => !kept.has(nameOf(workerId, id)))
      const link = links.of(workerId)
      const ended = link?.settled(unitIds(own.filter(one => !isReturn(one)))) ?? []
      return [...ended, ...(link?.settled(unitIds(own.filter(isReturn)), true) ?? [])]
    })
    if (over.length > 0) deps.onOver(over)
  }

  /**
   * What settled nothing releases no entry: it would be in no queue, and its unit with nobody. An entry that is another than
   * that of its unit is of no more use.
   */
  function keep(unsettled: Unsettled[]): Set<string> {
    const kept = new Set<string>()
    const back: HeldEntry[] = []
    for (const { workerId, unitId, entry, isRepeated } of unsettled) {
      const link = links.of(workerId)
      if (link?.entryOf(unitId) !== entry) continue
      kept.add(nameOf(workerId, unitId))
      if (isRepeated) link.unreported(unitId)
      else {
        back.push(...takeBack(workerId, entry))
        deps.onRefused(workerId, `it ended unit ${unitId} by an attempt that is not the unit's`, 'wrong')
      }
    }
    if (back.length > 0) deps.onBack(back)
    return kept
  }

  function takeBack(workerId: string, entry: string | undefined): HeldEntry[] {
    const held = entry === undefined ? undefined : links.of(workerId)?.takeBack(entry)
    return held ? [held] : []
  }

  async function forget(batch: Share[]): Promise<void> {
    const pipeline = redis.pipeline()
    for (const { workerId, pieces } of batch) {
      const ids = pieces.flatMap(piece => piece.ids)
      if (ids.length > 0) pipeline.xdel(outboxKey(workerId), ...ids)
    }
    await pipeline.exec()
    deps.onApplied(batch)
  }

  async function drop(batch: Share[], workerId: string, error: unknown): Promise<void> {
    log.error({ err: error, workerId }, 'what a worker reported cannot be applied; dropped')
    deps.onRefused(workerId, 'what it reported could not be applied', 'grave')
    await forget(batch)
    const unitIds = batch.flatMap(({ pieces }) => pieces.flatMap(({ messages }) => messages.flatMap(settledBy)))
    const back = unitIds.flatMap(unitId => takeBack(workerId, links.of(workerId)?.entryOf(unitId)))
    if (back.length > 0) deps.onBack(back)
  }

  return {
    applyNext: async () => {
      const all = nextBatch(deps.queues())
      const [first] = all
      if (!first) {
        isPiecewise = false
        return false
      }
      const batch = isPiecewise ? [{ ...first, pieces: first.pieces.slice(0, 1) }] : all
      sinceMs ??= performance.now()
      if (!deps.mayStore()) {
        await pause(LOOK_AGAIN_MS, deps.stopping)
        return true
      }
      try {
        await apply(batch)
      } catch (error) {
        if (isDatabaseAway(error) || redis.status !== 'ready') throw error
        if (isPiecewise) await drop(batch, first.workerId, error)
        else log.error({ err: error }, 'what workers reported could not be applied; trying it piece by piece')
        isPiecewise = true
      }
      sinceMs = null
      return true
    },
    isHeldUp: () => sinceMs !== null && performance.now() - sinceMs > HELD_UP_MS
  }
}

function nameOf(workerId: string, unitId: string): string {
  return `${workerId} ${unitId}`
}
