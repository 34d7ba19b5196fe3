import { randomUUID } from 'node:crypto'
import { inboxKey, outboxKey } from '@sc/shared/redis-keys.ts'
import { describe, expect, it, vi } from 'vitest'
import { countEntries } from '../../src/queues/queues.ts'
import type { Taken } from '../jobs/test-worker.ts'
import { useEngine } from '../jobs/use-engine.ts'

const WAIT = { timeout: 12_000, interval: 20 }
const TIMINGS = { waited: 0, fetched: 1, ran: 1, reported: 0 }
const LAST_ID = '18446744073709551615-18446744073709551615'

describe('the way of a unit between its queue and a slot', () => {
  const at = useEngine()

  const submit = async (input: Record<string, unknown>): Promise<string> => {
    for (const id of ['w-1', 'w-2']) at.world.worker(id).orders.length = 0
    const jobId = await at.world.insertJob(input)
    await at.engine.stop()
    await at.start()
    return jobId
  }
  const start = ({ units: [{ unitId }] }: Taken, workerId: string) =>
    at.world.say(workerId, { type: 'started', unitId, attemptId: randomUUID(), slot: 's', waitedMs: 0 })
  const finish = ({ units: [{ unitId }] }: Taken, workerId = 'w-1', output: unknown = 1) =>
    at.world.say(workerId, { type: 'result', unitId, attemptId: randomUUID(), slot: 's', output, timings: TIMINGS })
  const ended = (jobId: string, status = 'COMPLETED') =>
    vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe(status), WAIT)
  const counts = () => countEntries(at.world.queueOf('cpu'))
  const welcomes = (workerId: string) =>
    at.world.worker(workerId).orders.filter(order => order.type === 'welcome' && order.instance !== null)

  it('ends with nothing left of it in Redis', async () => {
    const jobId = await submit({ units: 2 })
    for (let n = 0; n < 2; n++) await finish(await at.world.takeOne())
    await ended(jobId)
    await vi.waitFor(async () => expect(await counts()).toEqual({ waiting: 0, active: 0 }), WAIT)
    at.world.worker('w-1').die()
    await vi.waitFor(async () => expect(await at.world.redis.xlen(outboxKey('w-1'))).toBe(0), WAIT)
  })

  it('begins anew elsewhere when its worker gives no sign of life, as a crash once another has begun', async () => {
    const jobId = await submit({ units: 1 })
    const lost = await at.world.takeOne()
    await start(lost, 'w-1')
    at.world.worker('w-1').die()
    const again = await at.world.takeOne('cpu', 'w-2')
    expect(again.units[0].unitId).toBe(lost.units[0].unitId)
    expect(again.isAgain).toBe(true)
    await start(again, 'w-2')
    await finish(again, 'w-2', 'second')
    await ended(jobId)
    expect(await at.world.units(jobId)).toMatchObject([{ output: 'second', crashes: 1 }])
  })

  it('stays with a worker that gives signs of life, however long', async () => {
    const jobId = await submit({ units: 1 })
    const taken = await at.world.takeOne()
    expect(await at.world.worker('w-2').take('cpu', 6_000)).toBeNull()
    await finish(taken)
    await ended(jobId)
  })

  it('is no longer than for others, whatever a worker holds and does not begin', async () => {
    const jobId = await submit({ units: 60 })
    // It is trusted by now.
    for (let n = 0; n < 15; n++) await finish(await at.world.takeOne())
    // What was finished lately lets more be in Redis than what goes next.
    await new Promise(resolve => setTimeout(resolve, 1_500))
    let held = 0
    while (held < 15 && (await at.world.take('cpu', 'w-1', 2_000))) held++
    expect(held).toBe(15)
    for (let n = 0; n < 10; n++) await finish(await at.world.takeOne('cpu', 'w-2'), 'w-2')
    await at.engine.cancel(jobId)
  })

  it('begins anew at once when a new process of its worker says hello', async () => {
    const jobId = await submit({ units: 1 })
    const taken = await at.world.takeOne()
    await at.world.worker('w-1').begin()
    const again = await at.world.worker('w-1').take('cpu', 2_000)
    expect(again?.units[0].unitId).toBe(taken.units[0].unitId)
    await finish(again as Taken)
    await ended(jobId)
  })

  it('goes on when another master takes its worker over', async () => {
    const jobId = await submit({ units: 1 })
    const taken = await at.world.takeOne()
    await at.engine.stop()
    const other = await at.world.startMaster('two')
    try {
      expect(await at.world.worker('w-2').take('cpu', 6_000)).toBeNull()
      await finish(taken, 'w-1', 'once')
      await ended(jobId)
      expect(await at.world.units(jobId)).toMatchObject([{ output: 'once', crashes: 0, dispatch: 0 }])
      await vi.waitFor(async () => expect(await counts()).toEqual({ waiting: 0, active: 0 }), WAIT)
    } finally {
      await other.stop()
    }
  })

  it('is served by one of two masters, and each unit is given once', async () => {
    const other = await at.world.startMaster('two')
    try {
      const jobId = await submit({ units: 20 })
      for (let n = 0; n < 20; n++) {
        const workerId = n % 2 ? 'w-1' : 'w-2'
        await finish(await at.world.takeOne('cpu', workerId), workerId)
      }
      await ended(jobId)
      expect((await at.world.units(jobId)).map(({ crashes, dispatch }) => crashes + dispatch)).toEqual(
        Array(20).fill(0)
      )
    } finally {
      await other.stop()
    }
  })

  it('is ended by the master when its worker keeps it past its deadline', async () => {
    const jobId = await submit({ units: 1, deadlineMs: 500 })
    const taken = await at.world.takeOne()
    await start(taken, 'w-1')
    await vi.waitFor(async () => expect((await at.world.units(jobId))[0]?.attempts).toBe(1), WAIT)
    expect((await at.world.units(jobId))[0]?.error).toMatchObject({ code: 'SC_TASK_TIMEOUT' })
    // It reads its inbox when it can.
    const cancel = { type: 'cancel', unitIds: [taken.units[0].unitId] }
    await vi.waitFor(() => expect(at.world.worker('w-1').orders).toContainEqual(cancel), WAIT)
    await finish(await at.world.takeOne('cpu', 'w-2'), 'w-2')
    await ended(jobId)
  })

  it('goes to no worker that shows itself nowhere', async () => {
    at.world.absent.add('w-1')
    try {
      const jobId = await submit({ units: 1 })
      expect(await at.world.worker('w-1').take('cpu', 1_500)).toBeNull()
      await finish(await at.world.takeOne('cpu', 'w-2'), 'w-2')
      await ended(jobId)
    } finally {
      at.world.absent.delete('w-1')
    }
  })

  /** As the worker wrote it: it goes on holding what it has. */
  const write = ({ units: [{ unitId }], tickets: [ticket] }: Taken, ...messages: object[]) =>
    at.world.redis.xadd(
      outboxKey('w-1'),
      '*',
      'm',
      JSON.stringify(messages.map(message => ({ unitId, ticket, slot: 's', ...message })))
    )
  const error = { code: 'SC_TASK_FAILED', title: '', detail: '' }
  const failed = (attemptId: string) => ({ type: 'error', attemptId, error, retryable: true, timings: TIMINGS })
  const started = (attemptId: string) => ({ type: 'started', attemptId, waitedMs: 0 })
  const back = (entry: string, attemptId: string) => ({ type: 'returned', attemptId, entry, hasBegun: true })

  it.each([
    ['an error of an attempt that never began', () => [failed('b')]],
    ['an error of another attempt than it began', () => [started('a'), failed('b')]],
    ['the return of another attempt than it began', ({ entry }: Taken) => [started('a'), back(entry, 'b')]]
  ])('goes to another worker at once, and is no success of the first, after %s', async (_what, made) => {
    const before = at.world.refused.length
    const jobId = await submit({ units: 1 })
    const taken = await at.world.takeOne()
    const sinceMs = performance.now()
    await write(taken, ...made(taken))
    const again = await at.world.takeOne('cpu', 'w-2')
    // Before the reconciler would have found it.
    expect(performance.now() - sinceMs).toBeLessThan(6_000)
    expect(again.entry).toBe(taken.entry)
    expect(at.world.refused.slice(before)).toEqual([
      { workerId: 'w-1', reason: expect.stringMatching(/not the unit's/) }
    ])
    await finish(again, 'w-2')
    await ended(jobId)
  })

  it('stays with its worker when what that said of an earlier attempt is read once more', async () => {
    const before = at.world.refused.length
    const jobId = await submit({ units: 1 })
    const first = await at.world.takeOne()
    const said = [started('a'), failed('a')]
    await start(first, 'w-1')
    await write(first, ...said)
    await vi.waitFor(async () => expect((await at.world.units(jobId))[0]?.attempts).toBe(1), WAIT)
    const second = await at.world.takeOne()
    expect(second.entry).not.toBe(first.entry)
    await write(first, ...said, back(first.entry, 'c'))
    expect(await at.world.worker('w-2').take('cpu', 1_500)).toBeNull()
    expect(await counts()).toEqual({ waiting: 0, active: 1 })
    await finish(second, 'w-1', 'right')
    await ended(jobId)
    expect(at.world.refused.slice(before)).toEqual([])
    await vi.waitFor(async () => expect(await counts()).toEqual({ waiting: 0, active: 0 }), WAIT)
  })

  it('leads only into queues that the worker may serve', async () => {
    await at.world.db
      .updateTable('workers')
      .set({ queues: ['gpu'] })
      .where('id', '=', 'w-1')
      .execute()
    try {
      const jobId = await submit({ units: 1 })
      expect(await at.world.worker('w-1').take('cpu', 1_500)).toBeNull()
      await finish(await at.world.takeOne('cpu', 'w-2'), 'w-2')
      await ended(jobId)
    } finally {
      await at.world.db.updateTable('workers').set({ queues: null }).where('id', '=', 'w-1').execute()
    }
  })

  it('is named to its worker ahead, while the slot runs another with files', async () => {
    const jobId = await submit({ units: 3 })
    const taken = await at.world.takeOne()
    const ahead = await vi.waitFor(() => {
      const order = at.world.worker('w-1').orders.find(({ type }) => type === 'prefetch')
      if (order?.type !== 'prefetch') throw new Error('nothing was named')
      return order
    }, WAIT)
    const refs = (await at.world.units(jobId)).map(({ input_ref }) => input_ref)
    expect(ahead.units.map(({ inputRef }) => inputRef)).toEqual(refs.slice(1, 2))
    await finish(taken)
    for (let n = 0; n < 2; n++) await finish(await at.world.takeOne())
    await ended(jobId)
  })

  it('a worker is welcomed as what it is, drained too', async () => {
    await at.world.db.updateTable('workers').set({ draining: true }).where('id', '=', 'w-2').execute()
    try {
      for (const id of ['w-1', 'w-2']) {
        at.world.worker(id).orders.length = 0
        await at.world.worker(id).begin()
        await at.world.worker(id).take('gpu', 50)
        await vi.waitFor(() => expect(welcomes(id).length).toBeGreaterThan(0), WAIT)
      }
      expect(welcomes('w-1').at(-1)).toMatchObject({ draining: false, httpUrl: 'http://m' })
      expect(welcomes('w-2').at(-1)).toMatchObject({ draining: true })
    } finally {
      await at.world.db.updateTable('workers').set({ draining: false }).where('id', '=', 'w-2').execute()
    }
  })

  it.each([
    ['a text in place of its outbox', (key: string) => at.world.redis.multi().del(key).set(key, 'x').exec()],
    ['the last id that a stream has', (key: string) => at.world.redis.xadd(key, LAST_ID, 'm', '[]')]
  ])('holds up nobody else, and itself for a moment, by %s', async (_what, attack) => {
    const jobId = await submit({ units: 2 })
    // Both are there.
    await at.world.worker('w-1').take('gpu', 50)
    await attack(outboxKey('w-1'))
    await finish(await at.world.takeOne('cpu', 'w-2'), 'w-2')
    await vi.waitFor(() => expect(at.world.refused.some(({ workerId }) => workerId === 'w-1')).toBe(true), WAIT)
    await vi.waitFor(async () => {
      const type = await at.world.redis.type(outboxKey('w-1'))
      expect(['none', 'stream']).toContain(type)
    }, WAIT)
    await at.world.worker('w-1').begin()
    await finish(await at.world.takeOne('cpu', 'w-1'), 'w-1')
    await ended(jobId)
  })

  it('an inbox that is a stream, as up to protocol 5, gives way to a list', async () => {
    const { redis } = at.world
    await at.world.worker('w-1').take('gpu', 50)
    await redis.del(inboxKey('w-1'))
    await redis.xadd(inboxKey('w-1'), '*', 'm', '[]')
    const jobId = await submit({ units: 1 })
    const key = inboxKey('w-1')
    await at.world
      .worker('w-1')
      .say({ type: 'hello', instance: randomUUID(), hostname: 'h', protocol: 6, version: '0' })
    await expect.poll(() => redis.type(key), WAIT).not.toBe('stream')
    await at.world.worker('w-1').begin()
    await finish(await at.world.takeOne('cpu', 'w-1'), 'w-1')
    await ended(jobId)
  })

  it('an inbox that nobody reads does not grow for ever', async () => {
    const { redis } = at.world
    await at.world.worker('w-1').take('gpu', 50)
    const text = JSON.stringify([{ type: 'resume' }])
    const pipeline = redis.pipeline()
    for (let n = 0; n < 3_000; n++) pipeline.rpush(inboxKey('w-1'), text)
    await pipeline.exec()
    const jobId = await submit({ units: 1 })
    const taken = await at.world.takeOne()
    expect(await redis.llen(inboxKey('w-1'))).toBeLessThan(2_500)
    await finish(taken)
    await ended(jobId)
  })
})
