import { sql } from 'kysely'
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest'
import { forgetOld } from '../../src/jobs/retention.ts'
import { type ClusterOfOne, startClusterOfOne } from './cluster-of-one.ts'

let world: ClusterOfOne
beforeAll(async () => {
  world = await startClusterOfOne()
})
afterEach(async () => void (await world.db.deleteFrom('jobs').execute()))
afterAll(() => world?.release())

const never = new AbortController().signal
const forget = (limits: { days?: number; bytes?: number }) =>
  forgetOld({ db: world.db, blobs: world.blobs, log: world.log, days: limits.days, bytes: limits.bytes }, never)

/** A job with a recording of 1000 bytes. */
async function insert(status: 'COMPLETED' | 'FAILED' | 'RUNNING', endedDaysAgo: number | null): Promise<string> {
  const id = await world.insertJob({ units: 1 })
  const key = `files/${id}/recording.wav`
  await world.blobs.put(key, Buffer.alloc(1000))
  const finished = endedDaysAgo === null ? null : sql<Date>`now() - make_interval(days => ${endedDaysAgo})`
  await world.db
    .updateTable('jobs')
    .set({ status, blob_key: key, finished_at: finished })
    .where('id', '=', id)
    .execute()
  return id
}

const left = async () => (await world.db.selectFrom('jobs').select('id').execute()).map(({ id }) => id).sort()

it('forgets nothing without a limit', async () => {
  const old = await insert('COMPLETED', 4000)
  expect(await forget({})).toBe(0)
  expect(await left()).toEqual([old])
})

it('forgets by age, with the blobs, and never an open job', async () => {
  const old = await insert('FAILED', 31)
  const recent = await insert('COMPLETED', 29)
  const open = await insert('RUNNING', null)
  await world.db
    .updateTable('jobs')
    .set({ created_at: new Date(0) })
    .where('id', '=', open)
    .execute()
  expect(await forget({ days: 30 })).toBe(1)
  expect(await left()).toEqual([recent, open].sort())
  await expect(world.blobs.size(`files/${old}/recording.wav`)).rejects.toThrow()
  expect(await world.blobs.size(`files/${recent}/recording.wav`)).toBe(1000)
})

it('forgets the oldest when all together take too much', async () => {
  const jobs: string[] = []
  for (const days of [5, 4, 3, 2]) jobs.push(await insert('COMPLETED', days))
  expect(await forget({ bytes: 2500 })).toBe(2)
  expect(await left()).toEqual(jobs.slice(2).sort())
  expect(await forget({ bytes: 2500 })).toBe(0)
})
