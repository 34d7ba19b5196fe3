import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { describe, expect, it, vi } from 'vitest'
import type { Taken } from '../jobs/test-worker.ts'
import { useEngine } from '../jobs/use-engine.ts'

const WAIT = { timeout: 12_000, interval: 20 }
const TIMINGS = { waited: 0, fetched: 1, ran: 1_000, reported: 0 }
const LAST_ID = '18446744073709551615-18446744073709551615'
const CPU = 'sc:q:cpu'

type Attack = (redis: Redis, entries: string[]) => Promise<unknown>

async function become(redis: Redis, key: string): Promise<void> {
  await redis.del(key)
  await redis.set(key, 'x')
}

function limit(redis: Redis, queue: string): Promise<unknown> {
  return redis.multi().hset(`${queue}:meta`, { max: 1, duration: 9e9 }).set(`${queue}:limiter`, 9, 'EX', 900_000).exec()
}

/** What somebody who may write to Redis can do to a queue, each enough to stop it. */
const ATTACKS: Array<[what: string, attack: Attack, finding: RegExp]> = [
  ['paused', redis => redis.hset(`${CPU}:meta`, 'paused', 1), /meta had paused/],
  ['a concurrency of 0', redis => redis.hset(`${CPU}:meta`, 'concurrency', 0), /meta had concurrency/],
  ['a rate limit', redis => limit(redis, CPU), /limiter was there/],
  ['a text as meta', redis => become(redis, `${CPU}:meta`), /meta was a string/],
  ['a text as wait', redis => become(redis, `${CPU}:wait`), /wait was a string/],
  ['a text as prioritized', redis => become(redis, `${CPU}:prioritized`), /prioritized was a string/],
  ['a text as marker', redis => become(redis, `${CPU}:marker`), /marker was a string/],
  ['a text as active', redis => become(redis, `${CPU}:active`), /active was a string/],
  ['a text as delayed', redis => become(redis, `${CPU}:delayed`), /delayed was a string/],
  ['a word as id', redis => redis.set(`${CPU}:id`, 'one'), /id was no number/],
  ['a word as pc', redis => redis.set(`${CPU}:pc`, 'one'), /pc was no number/],
  ['the last id of events', redis => redis.xadd(`${CPU}:events`, LAST_ID, 'a', 'b'), /events had an id of the future/],
  ['a length of events that is none', redis => redis.hset(`${CPU}:meta`, 'opts.maxLenEvents', 'all'), /maxLenEvents/],
  ['a stalled check without end', redis => redis.set(`${CPU}:stalled-check`, 1), /stalled-check did not end/],
  [
    'entries that are texts',
    (redis, ids) => Promise.all(ids.map(id => become(redis, `${CPU}:${id}`))),
    /had an entry that is none/
  ],
  [
    'entries with other options',
    (redis, ids) => Promise.all(ids.map(id => redis.hset(`${CPU}:${id}`, 'opts', '[['))),
    /had an entry that is none/
  ],
  [
    'entries for another task',
    async (redis, ids) => {
      for (const id of ids) {
        const data = JSON.parse((await redis.hget(`${CPU}:${id}`, 'data')) as string)
        await redis.hset(`${CPU}:${id}`, 'data', JSON.stringify({ ...data, task: 'other' }))
      }
    },
    /was not what masters wrote/
  ],
  [
    'names of its own keys',
    redis => redis.rpush(`${CPU}:wait`, 'prioritized', 'meta', 'x:lock'),
    /had an entry that is none/
  ],
  [
    'junk in front',
    redis => redis.rpush(`${CPU}:wait`, ...Array.from({ length: 5_000 }, (_, n) => `junk-${n}`)),
    /had an entry that is none/
  ],
  [
    'more entries than there are',
    redis => redis.rpush(`${CPU}:wait`, ...Array.from({ length: 15_000 }, (_, n) => `junk-${n}`)),
    /more than there can be/
  ]
]

describe('a queue that masters did not write alone', { timeout: 60_000 }, () => {
  const at = useEngine()

  async function work(queue: string, workerId = 'w-1'): Promise<Taken> {
    const taken = await at.world.takeOne(queue, workerId)
    const { unitId, task } = taken.units[0]
    expect(task).toBe('square')
    const about = { unitId, attemptId: randomUUID(), slot: 's' }
    await at.world.say(workerId, { type: 'result', ...about, output: 1, timings: TIMINGS })
    return taken
  }

  async function submit(input: Record<string, unknown>): Promise<string> {
    const jobId = await at.world.insertJob(input)
    await at.engine.stop()
    await at.start()
    return jobId
  }
  const ended = (jobId: string, status = 'COMPLETED') =>
    vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe(status), WAIT)
  /** The job's entries, as soon as they are in Redis. */
  const entriesOf = (jobId: string, units: number): Promise<string[]> =>
    vi.waitFor(async () => {
      const entries = (await at.world.units(jobId)).flatMap(({ entry }) => entry ?? [])
      const keys = entries.map(id => `${CPU}:${id}`)
      expect(keys.length > 0 && (await at.world.redis.exists(...keys))).toBe(units)
      return entries
    }, WAIT)
  const findings = (queue: string) =>
    at.engine
      .findings()
      .filter(({ check }) => check === `queue ${queue}`)
      .map(({ found }) => found)

  it.each(ATTACKS)('works again after %s, and another queue goes on', async (_what, attack, finding) => {
    const other = await at.world.insertJob({ units: 1, queue: 'gpu' })
    const jobId = await submit({ units: 2 })
    const entries = await entriesOf(jobId, 2)
    await attack(at.world.redis, entries)
    await vi.waitFor(() => expect(findings('cpu')[0]).toMatch(finding), WAIT)
    for (let n = 0; n < 2; n++) await work('cpu')
    await ended(jobId)
    await work('gpu')
    await ended(other)
    expect(findings('gpu')).toEqual([])
  })

  it('gets what came while it took nothing', async () => {
    await at.world.redis.set(`${CPU}:id`, 'one')
    const jobId = await at.world.insertJob({ units: 2 })
    await at.engine.stop()
    await at.start()
    for (let n = 0; n < 2; n++) await work('cpu')
    await ended(jobId)
    expect(findings('cpu')).toHaveLength(1)
  })

  it('gives what runs back to its slot when the list of active entries is lost', async () => {
    const jobId = await submit({ units: 1 })
    await entriesOf(jobId, 1)
    const taken = await at.world.takeOne()
    await become(at.world.redis, `${CPU}:active`)
    await vi.waitFor(
      async () => expect(await at.world.redis.lrange(`${CPU}:active`, 0, -1)).toEqual([taken.entry]),
      WAIT
    )
    expect(await at.world.redis.get(`${CPU}:${taken.entry}:lock`)).toBe('w-1')
  })

  it('sends again what is in no list any more', async () => {
    const jobId = await submit({ units: 2 })
    await entriesOf(jobId, 2)
    await at.world.redis.del(`${CPU}:prioritized`)
    // As if nothing had been heard of them for long.
    await at.world.db
      .updateTable('units')
      .set({ sent_at: new Date(0), touched_at: new Date(0) })
      .execute()
    for (let n = 0; n < 2; n++) await work('cpu')
    await ended(jobId)
  })

  it('unlocks an entry that nobody could ever take again', async () => {
    const jobId = await submit({ units: 1 })
    const [entry] = await entriesOf(jobId, 1)
    expect((await at.world.take())?.entry).toBe(entry)
    await at.world.redis.set(`${CPU}:${entry}:lock`, 'mine')
    at.world.worker('w-1').die()
    await work('cpu', 'w-2')
    await ended(jobId)
    expect(findings('cpu')[0]).toMatch(/locked for ever/)
  })

  it('removes an entry without what others call its children', async () => {
    const { redis } = at.world
    const jobId = await submit({ units: 2 })
    const [first, second] = await entriesOf(jobId, 2)
    await redis.hset('sc:master', 'httpUrl', 'http://here')
    await redis.set('sc:precious', 'kept')
    await redis.sadd(`${CPU}:${first}:dependencies`, 'sc:master', 'sc:precious')
    await redis.hset(`${CPU}:${second}:processed`, 'sc:master', '1', 'sc:precious', '1')
    await at.engine.cancel(jobId)
    await ended(jobId, 'CANCELLED')
    await vi.waitFor(async () => expect(await redis.exists(`${CPU}:${first}`, `${CPU}:${second}`)).toBe(0), WAIT)
    expect(await redis.exists('sc:master', 'sc:precious')).toBe(2)
  })

  it('lets go of an entry to which others gave children', async () => {
    const { redis } = at.world
    const jobId = await submit({ units: 1 })
    const [entry] = await entriesOf(jobId, 1)
    await redis.sadd(`${CPU}:${entry}:dependencies`, 'sc:precious')
    await redis.set('sc:precious', 'kept')
    await vi.waitFor(() => expect(findings('cpu')[0]).toMatch(/an entry had dependencies/), WAIT)
    await work('cpu')
    await ended(jobId)
    expect(await redis.get('sc:precious')).toBe('kept')
  })
})

describe('a queue of the masters themselves', { timeout: 60_000 }, () => {
  const at = useEngine()

  it.each([
    ['paused', 'merge', (redis: Redis) => redis.hset('sc:q:merge:meta', 'paused', 1)],
    ['a rate limit', 'merge', (redis: Redis) => limit(redis, 'sc:q:merge')],
    ['a text as marker', 'merge', (redis: Redis) => become(redis, 'sc:q:merge:marker')],
    ['a text as wait', 'merge', (redis: Redis) => become(redis, 'sc:q:merge:wait')],
    ['a text as delayed', 'merge', (redis: Redis) => become(redis, 'sc:q:merge:delayed')],
    ['the last id of events', 'merge', (redis: Redis) => redis.xadd('sc:q:merge:events', LAST_ID, 'a', 'b')],
    ['a word as id', 'merge', (redis: Redis) => redis.set('sc:q:merge:id', 'one')],
    ['a text as meta', 'merge', (redis: Redis) => become(redis, 'sc:q:merge:meta')]
  ])('works again after %s: %s', async (_what, queue, attack) => {
    await attack(at.world.redis)
    const jobId = await at.world.insertJob({ units: 0 })
    await vi.waitFor(() => expect(at.engine.findings().map(({ check }) => check)).toEqual([`queue ${queue}`]), WAIT)
    await vi.waitFor(async () => expect((await at.world.job(jobId)).planned).toBe(true), WAIT)
    await vi.waitFor(async () => expect((await at.world.job(jobId)).finished_at).not.toBeNull(), WAIT)
  })

  it('merges a job whose entry somebody put off', async () => {
    const { redis } = at.world
    await redis.hset('sc:q:merge:meta', 'paused', 1)
    const jobId = await at.world.insertJob({ units: 0 })
    const id = `merge-${jobId}`
    const { opts, ...rest } = {
      opts: '{}',
      name: 'merge',
      data: JSON.stringify({ jobId }),
      timestamp: 1,
      delay: 0,
      priority: 0
    }
    await redis.hset(`sc:q:merge:${id}`, { opts, ...rest })
    await redis.zadd('sc:q:merge:delayed', (Date.now() + 9e9) * 4096, id)
    await vi.waitFor(async () => expect((await at.world.job(jobId)).finished_at).not.toBeNull(), WAIT)
  })
})
