import { pause } from '@sc/shared/pause.ts'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import type { Awaiter } from './definition.ts'
import type { JobFeed } from './feed.ts'

/**
 * DESIGN: outputs of units that a plan awaits, of any number. One look at a time, over one connection: at a change of the job,
 * and no sooner than the last one took. Outputs are read as text, and no more of them at once than LOOK_BYTES.
 */
export interface AwaitedOutputs {
  add(unitId: string, awaiter: Awaiter): void
}

/** A notification may be lost with its connection. */
export const RELOOK_MS = 2_000
/** Units of one statement. */
const LOOK_UNITS = 1_000
/** Of outputs; one may be larger by itself. */
const LOOK_BYTES = 2 * 1024 ** 2

/** Until `signal` fires. */
export function awaitOutputs(
  { db, feed }: { db: Database; feed: Pick<JobFeed, 'onChange'> },
  jobId: string,
  signal: AbortSignal
): AwaitedOutputs {
  const waiting = new Map<string, Awaiter>()
  let change = Promise.withResolvers<void>()
  let isLooking = false
  const release = feed.onChange(jobId, () => change.resolve())
  const onAbort = (): void => {
    release()
    change.resolve()
  }
  signal.addEventListener('abort', onAbort, { once: true })

  async function look(): Promise<void> {
    isLooking = true
    try {
      await lookOn()
    } catch (error) {
      for (const awaiter of waiting.values()) awaiter.failed(error)
      waiting.clear()
    } finally {
      isLooking = false
    }
  }

  async function lookOn(): Promise<void> {
    while (waiting.size > 0 && !signal.aborted) {
      change = Promise.withResolvers()
      const sinceMs = performance.now()
      await answerSettled()
      const tookMs = performance.now() - sinceMs
      const timer = setTimeout(change.resolve, RELOOK_MS)
      await change.promise
      clearTimeout(timer)
      await pause(tookMs, signal)
    }
  }

  async function answerSettled(): Promise<void> {
    const ids = [...waiting.keys()]
    for (let at = 0; at < ids.length && !signal.aborted; at += LOOK_UNITS)
      for (const group of await settledOf(db, ids.slice(at, at + LOOK_UNITS))) {
        for (const { id, output, error } of await outputsOf(db, group)) {
          const awaiter = waiting.get(id)
          waiting.delete(id)
          await awaiter?.settled(error ? { output: null, error } : { output, error: null })
        }
      }
  }

  return {
    add: (unitId, awaiter) => {
      waiting.set(unitId, awaiter)
      if (isLooking) change.resolve()
      else void look()
    }
  }
}

/** Units whose outputs are read together. */
async function settledOf(db: Database, ids: string[]): Promise<string[][]> {
  const { rows } = await sql<{ id: string; bytes: number }>`
    select id, coalesce(octet_length(output::text), 0) as bytes from units
    where id = any(${ids}::text[]) and (status = 'DONE' or (status = 'FAILED' and error is not null))`.execute(db)
  const groups: string[][] = []
  let bytes = 0
  for (const row of rows) {
    const last = groups.at(-1)
    if (last && bytes + row.bytes <= LOOK_BYTES) last.push(row.id)
    else {
      groups.push([row.id])
      bytes = 0
    }
    bytes += row.bytes
  }
  return groups
}

/** Their errors are final: they have been tried again. */
async function outputsOf(db: Database, ids: string[]) {
  return await db
    .selectFrom('units')
    .select(eb => ['id', sql<string | null>`output::text`.as('output'), eb.ref('error').as('error')])
    .where('id', 'in', ids)
    .execute()
}
