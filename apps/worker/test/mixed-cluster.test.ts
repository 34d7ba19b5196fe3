import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { childEnv } from '@sc/shared/config.ts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from './fixtures/children.ts'
import { createFakeSmi } from './fixtures/fake-smi.ts'
import { openCluster, unit } from './fixtures/open-cluster.ts'

/** Four workers as processes of their own, each with an nvidia-smi of its own, on one real Redis. */
const GPU_GB: Record<string, number | null> = { large: 24, middle: 8, small: 4, none: null }
/** A task of the user, on the large worker only: the middle one has the memory but not the task. */
const OWN_TASK = { name: 'mine', gpu: true, vramGb: 6 }
/** What each slot asks for, most demanding first. */
const ASKS: Record<string, string[]> = {
  'large/gpu0': [
    ...['gpu.vram24+mine', 'gpu.vram24', 'gpu.vram12+mine', 'gpu.vram12', 'gpu.vram8+mine', 'gpu.vram8'],
    ...['gpu.vram6+mine', 'gpu.vram6', 'gpu']
  ],
  'large/cpu0': ['cpu'],
  'middle/gpu0': ['gpu.vram8', 'gpu.vram6', 'gpu'],
  'middle/cpu0': ['cpu'],
  'small/gpu0': ['gpu'],
  'small/cpu0': ['cpu'],
  'none/cpu0': ['cpu']
}

const { master, url, presence, send, said, close } = await openCluster()
const workers: ChildProcess[] = []

beforeAll(async () => {
  for (const [name, totalGb] of Object.entries(GPU_GB)) {
    const smi = createFakeSmi()
    if (totalGb !== null) smi.setCards([{ index: 0, uuid: `GPU-${name}`, totalGb }])
    const args = [join(import.meta.dirname, 'fixtures/worker-process.ts'), url, name]
    const env = childEnv({ PATH: smi.path, OWN_TASKS: JSON.stringify(name === 'large' ? [OWN_TASK] : []) })
    workers.push(spawn(process.execPath, args, { env, stdio: ['pipe', 'inherit', 'inherit'] }))
  }
  await allAsk()
})
afterAll(async () => {
  for (const worker of workers) worker.stdin?.end()
  await Promise.all(workers.map(worker => worker.exitCode ?? once(worker, 'exit')))
  await close()
})

/** The wants that stand, by worker and slot. */
function asked(): Record<string, string[]> {
  const wants = Object.keys(GPU_GB).flatMap(name =>
    master.wants(name).map(({ slot, queues }) => [`${name}/${slot}`, queues] as const)
  )
  return Object.fromEntries(wants)
}

const allAsk = () => until(() => Object.keys(asked()).length === Object.keys(ASKS).length)

describe('workers with 24 GB, 8 GB, 4 GB and no GPU', { timeout: 120_000 }, () => {
  test('each slot asks for what its device can do, and for its own task wherever it has the memory', async () => {
    expect(asked()).toEqual(ASKS)
    for (const name of Object.keys(GPU_GB)) {
      const ofSlots = Object.entries(ASKS).flatMap(([slot, queues]) => (slot.startsWith(`${name}/`) ? queues : []))
      await expect.poll(async () => (await presence(name)).queues).toEqual(ofSlots)
    }
  })

  test('they run side by side what all of them are given, one at a time each, and ask again', async () => {
    const queues = ['gpu.vram6+mine', 'gpu.vram24', 'gpu.vram8', 'gpu', 'cpu']
    const units = queues.flatMap(name =>
      Array.from({ length: 20 }, (_, at) => ({
        name,
        one: unit(`${name} ${at}`, name.endsWith('+mine') ? 'mine' : 'wait', { ms: 10 })
      }))
    )
    for (const { name, one } of units) send(name, [one])
    const ran = async () => {
      const all = await Promise.all(
        Object.keys(GPU_GB).map(async worker => (await said(worker)).map(message => ({ ...message, worker })))
      )
      return all.flat()
    }
    await until(async () => (await ran()).filter(({ type }) => type === 'result').length === units.length)
    const messages = (await ran()).flatMap(one => (one.type === 'started' || one.type === 'result' ? [one] : []))
    for (const ofSlot of Map.groupBy(messages, ({ worker, slot }) => `${worker}/${slot}`).values())
      for (const [at, { type, unitId }] of ofSlot.entries())
        expect(`${type} ${unitId}`).toBe(`${at % 2 === 0 ? 'started' : 'result'} ${ofSlot[at - (at % 2)]?.unitId}`)
    await allAsk()
    expect(asked()).toEqual(ASKS)
  })
})
