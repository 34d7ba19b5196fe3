import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createFakeSmi } from '../fixtures/fake-smi.ts'
import { openCluster, unit } from '../fixtures/open-cluster.ts'

const { redis, start, send, seen, heard, stopWorkers, close } = await openCluster()
const smi = createFakeSmi()
afterAll(close)
beforeEach(async () => {
  await redis.flushall()
  vi.stubEnv('PATH', smi.path)
})
afterEach(async () => {
  await stopWorkers()
  vi.unstubAllEnvs()
})

/** The tasks of the user that the next child has. */
function ownTasks(...tasks: Array<{ name: string; gpu: boolean; vramGb: number }>): void {
  vi.stubEnv('OWN_TASKS', JSON.stringify(tasks))
}
const serves = (queues: string) => seen(presence => presence.queues.join(' ') === queues)

test('a task of the user has a queue on each class that can run it, on the slots of who has it', async () => {
  smi.setCards([{ index: 0, uuid: 'GPU-a', totalGb: 8 }])
  ownTasks({ name: 'count', gpu: false, vramGb: 0 }, { name: 'draw', gpu: true, vramGb: 6 })
  await start()
  await serves('gpu.vram8+draw gpu.vram8 gpu.vram6+draw gpu.vram6 gpu cpu+count cpu')
  await send('gpu.vram6+draw', [unit('d', 'draw', { ms: 10 })])
  await send('cpu+count', [unit('c', 'count', { ms: 10 })])
  expect((await heard('result', 'd')).slot).toBe('gpu0')
  expect((await heard('result', 'c')).slot).toBe('cpu0')
})

test('a new child with other tasks serves other queues, and waits on them', async () => {
  smi.setCards([])
  ownTasks({ name: 'old', gpu: false, vramGb: 0 })
  await start()
  await serves('cpu+old cpu')
  ownTasks({ name: 'new', gpu: false, vramGb: 0 })
  await send('cpu', [unit('ends the child', 'crash')])
  await serves('cpu+new cpu')
  await seen(({ slots }) => slots[0]?.state === 'idle')
  await send('cpu+new', [unit('n', 'new', { ms: 10 })])
  await heard('result', 'n')
})

test('--queues are served whatever the tasks', async () => {
  smi.setCards([])
  ownTasks({ name: 'mine', gpu: false, vramGb: 0 })
  await start({ queues: ['cpu'] })
  await seen(({ slots }) => slots[0]?.state === 'idle')
  await serves('cpu')
})
