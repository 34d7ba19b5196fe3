import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { childEnv } from '@sc/shared/config.ts'
import { queuePriority } from '@sc/shared/queue-order.ts'
import { addEntries, closeQueue, countEntries, openQueue, type UnitQueue } from '@sc/shared/queues.ts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from './fixtures/children.ts'
import { createFakeSmi } from './fixtures/fake-smi.ts'
import { openCluster, unit } from './fixtures/open-cluster.ts'

/**
 * Four workers as processes of their own, each with an nvidia-smi of its own, on one real Redis. What ran where, and when,
 * is read from their outboxes, whose times are all of one clock: Redis's. No slot looks for units unless it is woken: that
 * all of them run says that no wake-up gets lost.
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

/** Units of all queues that are not done. */
async function countOpen(): Promise<number> {
  const counts = await Promise.all([...queues.values()].map(countEntries))
  return counts.reduce((sum, { waiting, active }) => sum + waiting + active, 0)
}

interface Ran {
  unitId: string
  class: string
  slot: string
  startedMs: number
  endedMs: number
}

/** Answers how each of the units ran that `fill` adds, in the order of their starts. */
async function run(phase: string, fill: (add: (classes: string[]) => Promise<void>) => Promise<void>): Promise<Ran[]> {
  let added = 0
  await fill(async classes => {
    const adding = [...Map.groupBy(classes, name => name)].map(async ([name, same]) => {
      const task = name.endsWith('+mine') ? 'mine' : 'wait'
      const units = same.map(() => unit(`${phase}.${added++}.${name}`, task, { ms: 10 * (1 + (added % 4)) }))
      const jobIds = units.map(one => one.unitId)
      await addEntries(queueOf(name), units, { jobIds, priorities: jobIds.map(() => queuePriority(50, added)) })
    })
    await Promise.all(adding)
  })
  const results = async () => {
    const all = await Promise.all(Object.keys(GPU_GB).map(async name => ({ name, messages: await said(name) })))
    return all.map(({ name, messages }) => ({ name, messages: messages.filter(one => one.unitId.startsWith(phase)) }))
  }
  await until(async () => (await results()).flatMap(one => one.messages.filter(isEnd)).length >= added)
  return (await results())
    .flatMap(({ name, messages }) =>
      messages.filter(isEnd).map(end => {
        const started = messages.find(one => one.type === 'started' && one.unitId === end.unitId)
        expect(end.type).toBe('result')
        return {
          unitId: end.unitId,
          class: end.unitId.replace(/^[^.]*\.\d+\./, ''),
          slot: `${name}/${'slot' in end ? end.slot : ''}`,
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

describe('a cluster of 24 GB, 8 GB, 4 GB and no GPU', { timeout: 120_000 }, () => {
  test('each worker serves what its machine can do, and its own task wherever it has the memory', async () => {
    const own = ['gpu.vram24+mine', 'gpu.vram12+mine', 'gpu.vram8+mine']
    expect((await presence('large')).queues.filter(name => !own.includes(name))).toEqual(CLASSES)
    expect((await presence('large')).queues).toEqual(expect.arrayContaining(own))
    expect((await presence('middle')).queues).toEqual(['gpu.vram8', 'gpu.vram6', 'gpu', 'cpu'])
    expect((await presence('small')).queues).toEqual(['gpu', 'cpu'])
    expect((await presence('none')).queues).toEqual(['cpu'])
  })

  test('queues that are full: each slot goes from its most demanding queue down', async () => {
    const classes = CLASSES.flatMap(name => Array.from({ length: OF_EACH }, () => name))
    const ran = await run('full', add => add(classes))
    expectSound(ran)
    for (const units of Map.groupBy(ran, one => one.slot).values()) {
      const order = units.map(one => CLASSES.indexOf(one.class))
      expect(order).toEqual(order.toSorted((a, b) => a - b))
    }
  })

  test('units that come while slots wait: each wakes one that can run it', async () => {
    await allIdle()
    const ran = await run('few', async add => {
      for (let batch = 0; batch < OF_EACH; batch++) {
        // The least demanding first: who it wakes may find a more demanding one, and must wake another for it.
        const first = batch % CLASSES.length
        await add([...CLASSES.slice(first), ...CLASSES.slice(0, first)].slice(0, 1 + (batch % 4)).reverse())
        await until(async () => (await countOpen()) === 0)
      }
    })
    expectSound(ran)
  })
})
