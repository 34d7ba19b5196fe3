import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { isGpuClass } from '@sc/shared/capability.ts'
import { childEnv } from '@sc/shared/config.ts'
import { queuePriority } from '@sc/shared/queue-order.ts'
import { addEntries, closeQueue, countEntries, openQueue, type UnitQueue } from '@sc/shared/queues.ts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from './fixtures/children.ts'
import { createFakeSmi } from './fixtures/fake-smi.ts'
import { openCluster, unit } from './fixtures/open-cluster.ts'

/**
 * Four workers as processes of their own, each with an nvidia-smi of its own, on one real Redis. What ran where, and when,
 * is read from their outboxes, whose times are all of one clock: Redis's.
 */
const GPU_GB: Record<string, number | null> = { large: 24, middle: 8, small: 4, none: null }
/** A task of the user, on the large worker only: the middle one has the memory but not the task. */
const OWN_TASK = { name: 'mine', gpu: true, vramGb: 6 }
/** Every class, most demanding first, and the slots that can run it. */
const ABLE: Record<string, string[]> = {
  'gpu.vram24': ['large/gpu0'],
  'gpu.vram12': ['large/gpu0'],
  'gpu.vram8': ['large/gpu0', 'middle/gpu0'],
  'gpu.vram6+mine': ['large/gpu0'],
  'gpu.vram6': ['large/gpu0', 'middle/gpu0'],
  gpu: ['large/gpu0', 'middle/gpu0', 'small/gpu0'],
  cpu: ['large/cpu0', 'middle/cpu0', 'small/cpu0', 'none/cpu0']
}
const CLASSES = Object.keys(ABLE)
const OF_EACH = 40
/** See `lapses`. */
const MOST_BEGUN = 12
const MOST_LAPSES = 2

const { redis, url, presence, said, close } = await openCluster()
const queues = new Map(CLASSES.map(name => [name, openQueue(redis, name)]))
const workers: ChildProcess[] = []

beforeAll(async () => {
  for (const [name, totalGb] of Object.entries(GPU_GB)) {
    const smi = createFakeSmi()
    if (totalGb !== null) smi.setCards([{ index: 0, uuid: `GPU-${name}`, totalGb }])
    const args = [join(import.meta.dirname, 'fixtures/worker-process.ts'), url, name]
    const env = childEnv({ PATH: smi.path, OWN_TASKS: JSON.stringify(name === 'large' ? [OWN_TASK] : []) })
    workers.push(spawn(process.execPath, args, { env, stdio: ['pipe', 'inherit', 'inherit'] }))
  }
  await allIdle()
})
afterAll(async () => {
  for (const worker of workers) worker.stdin?.end()
  await Promise.all(workers.map(worker => worker.exitCode ?? once(worker, 'exit')))
  for (const queue of queues.values()) await closeQueue(queue)
  await close()
})

async function allIdle(): Promise<void> {
  for (const [name, totalGb] of Object.entries(GPU_GB))
    await until(async () => {
      const { slots } = await presence(name)
      return slots.length === (totalGb === null ? 1 : 2) && slots.every(slot => slot.state === 'idle')
    })
}

const queueOf = (name: string): UnitQueue => queues.get(name) as UnitQueue

const waiting = async (name: string): Promise<number> => (await countEntries(queueOf(name))).waiting

interface Ran {
  unitId: string
  class: string
  slot: string
  addedMs: number
  startedMs: number
  endedMs: number
}

/** Answers how each of the units ran that `fill` adds, in the order of their starts. */
async function run(phase: string, fill: (add: (classes: string[]) => Promise<void>) => Promise<void>): Promise<Ran[]> {
  const addedMs = new Map<string, number>()
  await fill(async classes => {
    for (const [name, same] of Map.groupBy(classes, name => name)) {
      const units = same.map((_, at) => {
        const place = addedMs.size + at
        const task = name.endsWith('+mine') ? 'mine' : 'wait'
        return unit(`${phase}.${place}.${name}`, task, { ms: 10 * (1 + (place % 4)) })
      })
      const [seconds = 0, micros = 0] = (await redis.time()).map(Number)
      for (const { unitId } of units) addedMs.set(unitId, seconds * 1000 + micros / 1000)
      const jobIds = units.map(one => one.unitId)
      await addEntries(queueOf(name), units, { jobIds, priorities: jobIds.map(() => queuePriority(50, addedMs.size)) })
    }
  })
  const results = async () => {
    const all = await Promise.all(Object.keys(GPU_GB).map(async name => ({ name, messages: await said(name) })))
    return all.map(({ name, messages }) => ({ name, messages: messages.filter(one => one.unitId.startsWith(phase)) }))
  }
  await until(async () => (await results()).flatMap(one => one.messages.filter(isEnd)).length >= addedMs.size)
  return (await results())
    .flatMap(({ name, messages }) =>
      messages.filter(isEnd).map(end => {
        const started = messages.find(one => one.type === 'started' && one.unitId === end.unitId)
        expect(end.type).toBe('result')
        return {
          unitId: end.unitId,
          class: end.unitId.replace(/^[^.]*\.\d+\./, ''),
          slot: `${name}/${'slot' in end ? end.slot : ''}`,
          addedMs: addedMs.get(end.unitId) as number,
          startedMs: started?.atMs as number,
          endedMs: end.atMs
        }
      })
    )
    .sort((a, b) => a.startedMs - b.startedMs)
}

const isEnd = ({ type }: { type: string }): boolean => type === 'result' || type === 'error' || type === 'returned'

function expectSound(ran: Ran[]): void {
  expect(new Set(ran.map(one => one.unitId)).size).toBe(ran.length)
  for (const one of ran) expect(ABLE[one.class], `${one.unitId} ran on ${one.slot}`).toContain(one.slot)
  for (const [slot, units] of Map.groupBy(ran, one => one.slot))
    for (const [at, one] of units.entries())
      expect(one.endedMs, `two at once on ${slot}`).toBeLessThanOrEqual(
        units[at + 1]?.startedMs ?? Number.POSITIVE_INFINITY
      )
}

/**
 * Each time that a slot ran nothing although a unit that it could run waited, and one other slot began more than MOST_BEGUN
 * units meanwhile.
 *
 * What is promised is 100 ms: on two cores with little else to do, a slot was idle for 9 ms (p50), 33 ms (p95), 76 ms at
 * most while it was needed. Four workers and seven children share the cores with other tests, though, so that a span of
 * time says little here; the other slots are the clock: they share the load, and a unit of 10 to 40 ms with its way there
 * and back takes them 30 to 80 ms. With five times more runnable processes than cores, 5 to 8 were begun now and then; a
 * slot that misses its marker looks again after 2 s, when there are 20 to 60.
 * MOST_LAPSES of hundreds are let pass: a process that the system keeps from running begins nothing either.
 */
function lapses(ran: Ran[]): string[] {
  const bySlot = Map.groupBy(ran, one => one.slot)
  const firstMs = Math.min(...ran.map(one => one.addedMs))
  const found: string[] = []
  for (const slot of new Set(Object.values(ABLE).flat())) {
    const own = bySlot.get(slot) ?? []
    const able = ran.filter(one => ABLE[one.class]?.includes(slot))
    const others = [...bySlot].flatMap(([name, units]) => (name === slot ? [] : [units]))
    for (let at = 0; at <= own.length; at++) {
      const freeMs = own[at - 1]?.endedMs ?? firstMs
      const takenMs = own[at]?.startedMs ?? Number.POSITIVE_INFINITY
      const most = able.map(waited => {
        const from = Math.max(freeMs, waited.addedMs)
        const to = Math.min(takenMs, waited.startedMs)
        return Math.max(...others.map(units => units.filter(one => one.startedMs > from && one.startedMs < to).length))
      })
      const begun = Math.max(...most)
      if (begun > MOST_BEGUN) found.push(`${slot} before ${own[at]?.unitId ?? 'the end'}: ${begun} begun elsewhere`)
    }
  }
  return found
}

describe('a cluster of 24 GB, 8 GB, 4 GB and no GPU', { timeout: 120_000 }, () => {
  test('each worker serves what its machine can do, and its own task wherever it has the memory', async () => {
    const own = ['gpu.vram24+mine', 'gpu.vram12+mine', 'gpu.vram8+mine']
    expect((await presence('large')).queues.filter(name => !own.includes(name))).toEqual(CLASSES)
    expect((await presence('large')).queues).toEqual(expect.arrayContaining(own))
    expect((await presence('middle')).queues).toEqual(['gpu.vram8', 'gpu.vram6', 'gpu', 'cpu'])
    expect((await presence('small')).queues).toEqual(['gpu', 'cpu'])
    expect((await presence('none')).queues).toEqual(['cpu'])
  })

  test('queues that are full: each slot goes from its most demanding queue down, and none sits idle', async () => {
    const classes = CLASSES.flatMap(name => Array.from({ length: OF_EACH }, () => name))
    const ran = await run('full', add => add(classes))
    expectSound(ran)
    for (const units of Map.groupBy(ran, one => one.slot).values()) {
      const order = units.map(one => CLASSES.indexOf(one.class))
      expect(order).toEqual(order.toSorted((a, b) => a - b))
    }
    expect(lapses(ran).slice(MOST_LAPSES)).toEqual([])
  })

  test('units that come while slots wait: whoever can run one takes it', async () => {
    await allIdle()
    const forGpus = CLASSES.filter(isGpuClass)
    const ran = await run('few', async add => {
      for (let batch = 0; batch < OF_EACH; batch++) {
        await add([0, 1, 2].map(more => forGpus[(batch * 5 + more) % forGpus.length] as string))
        await until(async () => {
          // CPU lanes have always something to do: they tell how much time goes by.
          if ((await waiting('cpu')) < 20) await add(Array.from({ length: 20 }, () => 'cpu'))
          return (await Promise.all(forGpus.map(waiting))).every(count => count === 0)
        })
      }
    })
    expectSound(ran)
    expect(lapses(ran).slice(MOST_LAPSES)).toEqual([])
  })
})
