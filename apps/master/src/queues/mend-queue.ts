import type { Redis } from 'ioredis'
import { QUEUE_PREFIX } from './keys.ts'
import { CLEAR, MEND, MISS, NO_ENTRY, REMOVE } from './mend-script.ts'

/** An entry that waits: one of those that are taken next. */
export interface WaitingEntry {
  id: string
  /** As it was read: anything. */
  data: string
  /** When it may be taken, in ms since 1970, by the score that it has; null: now. */
  dueMs: number | null
}

export interface QueueRules {
  mayDelay: boolean
  /** How many entries there can be; asked only when there are more than FEW. */
  most(): Promise<number>
  /** Ids of those that masters did not write so, and of those that nobody waits for any more. */
  judge(entries: WaitingEntry[]): Promise<{ foreign: string[]; past: string[] }>
}

const FEW = 10_000
/** Entries of each list that one look reads: it holds Redis up for 1 ms. */
const WINDOW = 100
const MOST_ROUNDS = 200
/** Of them, those whose data is compared. */
const COMPARED = 50
const COMPARED_BYTES = 4 * 1024 ** 2
/** Of the stream that BullMQ keeps and nobody reads. */
const MAX_EVENTS = 100
const LONGEST_MS = 10 * 60_000
/** BullMQ's scores of delayed entries: the time, times this, plus a counter. */
const SCORES_PER_MS = 4_096

/**
 * Puts right what a queue has that masters did not write. Answers what that was; empty: nothing. Afterwards the queue works;
 * what it lost is the caller's to add.
 */
export async function mendQueue(redis: Redis, name: string, rules: QueueRules): Promise<string[]> {
  const all = new Set<string>()
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const found = await mendOnce(redis, name, rules)
    for (const what of found) all.add(what)
    // Behind what was taken out there may be more of it.
    if (!found.some(what => what.endsWith(NO_ENTRY))) break
  }
  return [...all]
}

async function mendOnce(redis: Redis, name: string, rules: QueueRules): Promise<string[]> {
  const prefix = prefixOf(name)
  const [found, total, flat] = (await redis.eval(
    MEND,
    1,
    prefix,
    rules.mayDelay ? 'delayed' : '',
    MAX_EVENTS,
    WINDOW,
    COMPARED,
    COMPARED_BYTES,
    LONGEST_MS
  )) as [string[], number, string[]]
  if (total > FEW && total > (await rules.most())) {
    await redis.eval(CLEAR, 1, prefix)
    return [...found, `it had ${total} entries, more than there can be`]
  }
  const { foreign, past } = await rules.judge(toEntries(flat))
  const removed = foreign.length > 0 ? ((await redis.eval(REMOVE, 1, prefix, ...foreign)) as string[]) : []
  if (past.length > 0) await redis.eval(REMOVE, 1, prefix, ...past)
  return removed.length > 0 ? [...found, 'an entry was not what masters wrote'] : found
}

/** Makes entries that are in no list, and so are never taken, be missed: then they can be added again. */
export async function forgetMissing(redis: Redis, name: string, ids: string[]): Promise<number> {
  return ids.length === 0 ? 0 : Number(await redis.eval(MISS, 1, prefixOf(name), ...ids))
}

function prefixOf(name: string): string {
  return `${QUEUE_PREFIX}:${name}:`
}

function toEntries(flat: string[]): WaitingEntry[] {
  return Array.from({ length: flat.length / 3 }, (_, at) => {
    const [id, data, score] = flat.slice(3 * at) as [string, string, string]
    return { id, data, dueMs: score === '' ? null : Number(score) / SCORES_PER_MS }
  })
}
