import { inboxKey } from '@sc/shared/redis-keys.ts'
import type { UnitPayload } from '@sc/shared/unit.ts'
import { afterAll, afterEach, expect, test } from 'vitest'
import { until } from '../fixtures/children.ts'
import { openCluster } from '../fixtures/open-cluster.ts'
import { taskFile, writeTasks } from '../tasks/write-tasks.ts'

const QUEUE = 'cpu+short'
/** One task that does what its text says, in a real Node process. */
const tasksDir = writeTasks({
  'short.ts': taskFile(
    'short',
    `if (text === 'die') process.kill(process.pid, 'SIGKILL')
    if (text === 'fail') throw new Error('it fell over')
    if (text === 'long') throw new Error('é'.repeat(100_000))
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
const { master, heard, written, tell, reset, close } = cluster
const WARM = 'warm'
/** A worker whose process has run a unit: the first one takes longer than a short one may. */
async function start() {
  const worker = await cluster.start({}, { tasksDir })
  master.queue(QUEUE, WARM, [{ ...unit(0, 'a'), unitId: WARM }])
  await heard('result', WARM)
  return worker
}
const said = async () => (await cluster.said()).filter(({ unitId }) => unitId !== WARM)

afterEach(reset)
afterAll(close)

function unit(index: number, text: string): UnitPayload {
  const params = { text }
  return { unitId: `u${index}`, jobId: 'j', task: 'short', index, inputRef: null, params, deadline: 10_000 }
}

/** Puts units of these texts into the queue, as one entry. */
function send(...texts: string[]): void {
  const [first, ...rest] = texts.map((text, index) => unit(index, text))
  master.queue(QUEUE, 'e-0', [first as UnitPayload, ...rest])
}

const quick = (count: number): string[] => Array.from({ length: count }, (_, n) => `text ${n}`)
/** What was said, as `type unit`. */
const words = async (): Promise<string[]> => (await said()).map(({ type, unitId }) => `${type} ${unitId}`)
/** Until a slot has had the entry and holds it no more. */
const released = () =>
  until(async () => {
    const all = await written()
    const last = all.findLast(message => message.type === 'state')
    const ends = (await said()).some(({ type }) => type === 'result' || type === 'returned' || type === 'error')
    return master.waiting(QUEUE) === 0 && ends && last?.holding.length === 0 && all.at(-1) === last
  })

test('units of one entry run one after the other, each with a result of its own', async () => {
  await start()
  send(...quick(50))
  await heard('result', 'u49')
  const results = (await said()).filter(({ type }) => type === 'result')
  expect(results.map(({ unitId }) => unitId)).toEqual(Array.from({ length: 50 }, (_, n) => `u${n}`))
  expect(results[7]).toMatchObject({ output: { text: 'text 7' }, slot: 'cpu0' })
  await released()
})

test('what an error says beyond what a job keeps of it is in the log', async () => {
  await start()
  send('long')
  const outcome = await heard('error', 'u0')
  expect(outcome).toMatchObject({ error: { code: 'SC_TASK_FAILED', detail: expect.stringMatching(/cut/) } })
  expect(outcome.type === 'error' && outcome.error.detail.length).toBeLessThanOrEqual(4_000)
  const lines = (await said()).flatMap(one => (one.type === 'log' ? [one.message] : []))
  expect(lines[0]).toMatch(/^The error says 100,\d{3} characters/)
  expect(lines.every(line => Buffer.byteLength(line) <= 8 * 1024)).toBe(true)
  expect(lines.join('')).toContain('é'.repeat(100_000))
})

test('each has the time that it took itself, not that for which its result lay behind the next one', async () => {
  await start()
  send('a', 'block 60')
  await heard('result', 'u1')
  const [first, second] = (await said()).flatMap(message => (message.type === 'result' ? message.timings : []))
  expect(second?.ran).toBeGreaterThan(50)
  expect(first?.ran).toBeLessThan(second?.ran as number)
})

test('only one that takes longer says that it started', async () => {
  await start()
  send('a', 'wait 100', 'b')
  await heard('result', 'u2')
  const starts = (await words()).filter(word => word.startsWith('started'))
  expect(starts).toContain('started u1')
  expect((await words()).slice(-3)).toEqual(['started u1', 'result u1', 'result u2'])
})

test('what has not begun when one takes long goes back to the master', async () => {
  await start()
  send('a', 'wait 1500', 'b', 'c')
  await released()
  const ends = (await words()).filter(word => word.startsWith('r'))
  // Long before the one that goes on.
  expect(ends).toEqual(['result u0', 'returned u2', 'returned u3', 'result u1'])
  expect(await heard('returned', 'u3')).toMatchObject({ entry: 'e-0' })
})

test('what was asked for while short units run goes back when one of them takes long, and runs afterwards', async () => {
  await start()
  send('a', 'wait 3000')
  master.queue(QUEUE, 'e-1', [unit(9, 'next')])
  await heard('returned', 'u9')
  expect(await words()).not.toContain('result u1')
  master.queue(QUEUE, 'e-2', [unit(8, 'after')])
  await heard('result', 'u8')
  expect((await words()).filter(word => word.startsWith('result'))).toEqual(['result u0', 'result u1', 'result u8'])
})

test('an error is that of its unit alone', async () => {
  await start()
  send('a', 'fail', 'b')
  await heard('result', 'u2')
  expect(await heard('error', 'u1')).toMatchObject({ error: { code: 'SC_TASK_FAILED' } })
  const order = await words()
  expect(order.indexOf('started u1')).toBeLessThan(order.indexOf('error u1'))
  await heard('result', 'u0')
})

test('what was given back does not run, though the one before it let nothing be read', async () => {
  await start()
  send('block 1000', 'tell')
  await released()
  expect((await words()).toSorted()).toEqual(['result u0', 'returned u1', 'started u0'])
  master.queue(QUEUE, 'e-1', [unit(9, 'told?')])
  expect(await heard('result', 'u9')).toMatchObject({ output: { text: 'no' } })
})

test('a unit at which the process ends is given back with those behind it, to be judged by itself', async () => {
  await start()
  send('a', 'die', 'b', 'c')
  await released()
  expect(await heard('returned', 'u1')).toMatchObject({ hasBegun: true })
  expect(await heard('returned', 'u2')).toMatchObject({ hasBegun: false })
  // By itself it is what it is, and the slot goes on with another process.
  master.queue(QUEUE, 'u1-1', [unit(1, 'die')])
  expect(await heard('error', 'u1')).toMatchObject({ error: { code: 'SC_CHILD_DIED' } })
  // Where the machine is busy the slot asked ahead; that want does not stand any more.
  await released()
  master.queue(QUEUE, 'e-1', [unit(9, 'after')])
  await heard('result', 'u9')
})

test('a cancel ends the unit that it names', async () => {
  await start()
  send('wait 60000', 'a')
  await heard('started', 'u0')
  await tell({ type: 'cancel', unitIds: ['u0'] })
  expect(await heard('error', 'u0')).toMatchObject({ error: { code: 'SC_CANCELLED' } })
  await released()
})

test('a stop gives back all that has not ended', async () => {
  const worker = await start()
  send('wait 60000', 'a', 'b')
  await heard('started', 'u0')
  await worker.stop()
  expect((await words()).toSorted()).toEqual(['returned u0', 'returned u1', 'returned u2', 'started u0'])
  expect(master.waiting(QUEUE)).toBe(0)
})

test('an entry that was with a lost slot is dissolved, and none of its units run', async () => {
  master.queue(QUEUE, 'e-0', [unit(0, 'die'), unit(1, 'a')], true)
  await cluster.start({}, { tasksDir })
  await heard('returned', 'u1')
  await released()
  expect((await words()).toSorted()).toEqual(['returned u0', 'returned u1'])
})

test('a single unit that was with a lost slot runs', async () => {
  master.queue(QUEUE, 'u0-1', [unit(0, 'a')], true)
  await cluster.start({}, { tasksDir })
  await heard('result', 'u0')
})

test('while several short units run the slot asks for the next entry already, and what came then goes back on a stop', async () => {
  const worker = await start()
  send('wait 60000', 'a')
  // At once: a machine that is busy takes long for each step, and what was asked for goes back after a second.
  master.queue(QUEUE, 'u9-1', [unit(9, 'next')])
  await heard('started', 'u0')
  await until(async () => master.waiting(QUEUE) === 0 && (await cluster.redis.llen(inboxKey('w'))) === 0)
  await worker.stop()
  expect((await words()).toSorted()).toEqual(['returned u0', 'returned u1', 'returned u9', 'started u0'])
  expect(await heard('returned', 'u9')).toMatchObject({ entry: 'u9-1', hasBegun: false, ticket: 'ticket of u9' })
})
