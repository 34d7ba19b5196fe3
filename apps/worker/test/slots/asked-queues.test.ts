import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest'
import { until } from '../fixtures/children.ts'
import { createFakeSmi } from '../fixtures/fake-smi.ts'
import { openCluster, unit } from '../fixtures/open-cluster.ts'

const { master, start, send, seen, heard, reset, close } = await openCluster()
const smi = createFakeSmi()
afterAll(close)
beforeEach(() => void vi.stubEnv('PATH', smi.path))
afterEach(async () => {
  await reset()
  vi.unstubAllEnvs()
})

/** The tasks of the user that the next child has. */
function ownTasks(...tasks: Array<{ name: string; gpu: boolean; vramGb: number }>): void {
  vi.stubEnv('OWN_TASKS', JSON.stringify(tasks))
}
/** Waits until these wants stand, as `slot: queues`. */
const asks = (...wanted: string[]) =>
  until(() => {
    const wants = master.wants().map(({ slot, queues }) => `${slot}: ${queues.join(' ')}`)
    return wants.sort().join() === wanted.sort().join()
  })

test('a task of the user is asked for on each class that can run it, by the slots of who has it', async () => {
  smi.setCards([{ index: 0, uuid: 'GPU-a', totalGb: 8 }])
  ownTasks({ name: 'count', gpu: false, vramGb: 0 }, { name: 'draw', gpu: true, vramGb: 6 })
  await start()
  await asks('gpu0: gpu.vram8+draw gpu.vram8 gpu.vram6+draw gpu.vram6 gpu', 'cpu0: cpu+count cpu')
  await seen(({ queues }) => queues.join(' ') === 'gpu.vram8+draw gpu.vram8 gpu.vram6+draw gpu.vram6 gpu cpu+count cpu')
  send('gpu.vram6+draw', [unit('d', 'draw', { ms: 10 })])
  send('cpu+count', [unit('c', 'count', { ms: 10 })])
  expect((await heard('result', 'd')).slot).toBe('gpu0')
  expect((await heard('result', 'c')).slot).toBe('cpu0')
})

test('a new child with other tasks asks for other queues', async () => {
  smi.setCards([])
  ownTasks({ name: 'old', gpu: false, vramGb: 0 })
  await start()
  await asks('cpu0: cpu+old cpu')
  ownTasks({ name: 'new', gpu: false, vramGb: 0 })
  send('cpu', [unit('ends the child', 'crash')])
  await asks('cpu0: cpu+new cpu')
  send('cpu+new', [unit('n', 'new', { ms: 10 })])
  await heard('result', 'n')
})

test('--queues are asked for whatever the tasks', async () => {
  smi.setCards([])
  ownTasks({ name: 'mine', gpu: false, vramGb: 0 })
  await start({ queues: ['cpu'] })
  await asks('cpu0: cpu')
})
