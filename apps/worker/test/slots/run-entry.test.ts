import { addEntries, closeQueue, countEntries, openQueue, takeNext } from '@sc/shared/queues.ts'
import { entryOf, type UnitPayload } from '@sc/shared/unit.ts'
import { afterAll, afterEach, expect, test } from 'vitest'
import { until } from '../fixtures/children.ts'
import { openCluster } from '../fixtures/open-cluster.ts'
import { taskFile, writeTasks } from '../tasks/write-tasks.ts'

const QUEUE = 'cpu+short'
/** One task that does what its text says, in a real Node process. */
const tasksDir = writeTasks({
  'short.ts': taskFile(
    'short',
    `if (text === 'die') process.exit(3)
    if (text === 'fail') throw new Error('it fell over')
    if (text === 'tell') globalThis.told = true
    if (text === 'told?') return { text: globalThis.told ? 'yes' : 'no' }
    const untilMs = Date.now() + Number(/^block (\\d+)$/.exec(text)?.[1] ?? 0)
    while (Date.now() < untilMs) {}
    const ms = Number(/^wait (\\d+)$/.exec(text)?.[1] ?? 0)
    if (ms > 0) await new Promise((resolve, reject) => {
      const timer = setTimeout(resolve, ms)
      signal.addEventListener('abort', () => { clearTimeout(timer); reject(signal.reason) })
    })
    return { text }`
  )
})

const cluster = await openCluster()
const { heard, said, tell, stopWorkers } = cluster
const queue = openQueue(cluster.redis, QUEUE)
const start = () => cluster.start({}, { tasksDir })

afterEach(async () => {
  await stopWorkers()
  await cluster.redis.flushall()
})
afterAll(async () => {
  await closeQueue(queue)
  await cluster.close()
})

function unit(index: number, text: string): UnitPayload {
  const params = { text }
  return { unitId: `u${index}`, jobId: 'j', task: 'short', index, inputRef: null, params, deadline: 10_000 }
}

/** Puts units of these texts into the queue, as one entry. */
async function send(...texts: string[]): Promise<void> {
  const [first, ...rest] = texts.map((text, index) => unit(index, text))
  await addEntries(queue, [entryOf([first as UnitPayload, ...rest])], { jobIds: ['e-0'] })
}

const quick = (count: number): string[] => Array.from({ length: count }, (_, n) => `text ${n}`)
/** What was said, as `type unit`. */
const words = async (): Promise<string[]> => (await said()).map(({ type, unitId }) => `${type} ${unitId}`)
/** Until a slot has taken the entry and let go of it. */
const released = () =>
  until(async () => {
    const { waiting, active } = await countEntries(queue)
    return waiting + active === 0
  })

test('units of one entry run one after the other, each with a result of its own', async () => {
  await start()
  await send(...quick(50))
  await heard('result', 'u49')
  const results = (await said()).filter(({ type }) => type === 'result')
  expect(results.map(({ unitId }) => unitId)).toEqual(Array.from({ length: 50 }, (_, n) => `u${n}`))
  expect(results[7]).toMatchObject({ output: { text: 'text 7' }, slot: 'cpu0' })
  await released()
})

test('only one that takes longer says that it started', async () => {
  await start()
  await send('a', 'wait 100', 'b')
  await heard('result', 'u2')
  const starts = (await words()).filter(word => word.startsWith('started'))
  expect(starts).toContain('started u1')
  expect((await words()).slice(-3)).toEqual(['started u1', 'result u1', 'result u2'])
})

test('what has not begun when one takes long goes back to the master', async () => {
  await start()
  await send('a', 'wait 1500', 'b', 'c')
  await released()
  const ends = (await words()).filter(word => word.startsWith('r'))
  // Long before the one that goes on.
  expect(ends).toEqual(['result u0', 'returned u2', 'returned u3', 'result u1'])
  expect(await heard('returned', 'u3')).toMatchObject({ entry: 'e-0' })
})

test('an error is that of its unit alone', async () => {
  await start()
  await send('a', 'fail', 'b')
  await heard('result', 'u2')
  expect(await heard('error', 'u1')).toMatchObject({ error: { code: 'SC_TASK_FAILED' } })
  const order = await words()
  expect(order.indexOf('started u1')).toBeLessThan(order.indexOf('error u1'))
  await heard('result', 'u0')
})

test('what was given back does not run, though the one before it let nothing be read', async () => {
  await start()
  await send('block 1000', 'tell')
  await released()
  expect((await words()).toSorted()).toEqual(['result u0', 'returned u1', 'started u0'])
  await addEntries(queue, [unit(9, 'told?')], { jobIds: ['e-1'] })
  expect(await heard('result', 'u9')).toMatchObject({ output: { text: 'no' } })
})

test('a unit at which the process ends is given back with those behind it, to be judged by itself', async () => {
  await start()
  await send('a', 'die', 'b', 'c')
  await released()
  expect(await heard('returned', 'u1')).toMatchObject({ hasBegun: true })
  expect(await heard('returned', 'u2')).toMatchObject({ hasBegun: false })
  // By itself it is what it is, and the slot goes on with another process.
  await addEntries(queue, [unit(1, 'die')], { jobIds: ['u1-1'] })
  expect(await heard('error', 'u1')).toMatchObject({ error: { code: 'SC_CHILD_DIED' } })
  await addEntries(queue, [unit(9, 'after')], { jobIds: ['e-1'] })
  await heard('result', 'u9')
})

test('a cancel ends the unit that it names', async () => {
  await start()
  await send('wait 60000', 'a')
  await heard('started', 'u0')
  await tell({ type: 'cancel', unitIds: ['u0'] })
  expect(await heard('error', 'u0')).toMatchObject({ error: { code: 'SC_CANCELLED' } })
  await released()
})

test('a stop gives back all that has not ended', async () => {
  const worker = await start()
  await send('wait 60000', 'a', 'b')
  await heard('started', 'u0')
  await worker.stop()
  expect((await words()).toSorted()).toEqual(['returned u0', 'returned u1', 'returned u2', 'started u0'])
  expect(await countEntries(queue)).toEqual({ waiting: 0, active: 0 })
})

test('an entry that was with a lost slot is dissolved, and none of its units run', async () => {
  await send('die', 'a')
  await takeNext([queue], 'lost')
  await cluster.redis.del(`${queue.taker.toKey('e-0')}:lock`)
  // Marks what is active, then moves what has no lock.
  for (let look = 0; look < 2; look++) {
    await cluster.redis.del(queue.taker.toKey('stalled-check'))
    await queue.taker.getBackend().moveStalledJobsToWait()
  }
  expect(await countEntries(queue)).toEqual({ waiting: 1, active: 0 })
  await start()
  await heard('returned', 'u1')
  await released()
  expect((await words()).toSorted()).toEqual(['returned u0', 'returned u1'])
})
