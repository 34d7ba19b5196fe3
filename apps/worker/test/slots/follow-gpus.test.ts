import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest'
import { until } from '../fixtures/children.ts'
import { createFakeSmi } from '../fixtures/fake-smi.ts'
import { openCluster, unit } from '../fixtures/open-cluster.ts'

const { master, start, send, seen, heard, said, written, tell, reset, close } = await openCluster()
const A = { index: 0, uuid: 'GPU-a', totalGb: 24 }
const B = { index: 1, uuid: 'GPU-b', totalGb: 8 }
let smi = createFakeSmi()
afterAll(close)
beforeEach(() => {
  smi = createFakeSmi()
  vi.stubEnv('PATH', smi.path)
})
afterEach(async () => {
  await reset()
  vi.unstubAllEnvs()
})

const slotIds = (ids: string) => seen(({ slots }) => slots.map(slot => slot.id).join(' ') === ids)
const slotIs = (id: string, state: string) =>
  seen(({ slots }) => slots.some(slot => slot.id === id && slot.state === state))
/** Waits until the worker has looked so often again, and acted on it. */
async function moreLooks(count: number): Promise<void> {
  const enough = smi.looks() + count + 1
  await until(() => smi.looks() >= enough)
}

test('each GPU has its own process, which sees no other GPU', async () => {
  smi.setCards([A, B])
  await start()
  send('gpu.vram24', [unit('a', 'see')])
  await heard('result', 'a')
  // The card of 24 GB has a unit: the other one takes what both could.
  send('gpu.vram24', [unit('busy', 'wait', { ms: 3_000 })])
  await heard('started', 'busy')
  send('gpu.vram8', [unit('b', 'see')])
  send('cpu', [unit('c', 'see')])
  expect(await heard('result', 'a')).toMatchObject({ slot: 'gpu0', output: 'GPU-a' })
  expect(await heard('result', 'b')).toMatchObject({ slot: 'gpu1', output: 'GPU-b' })
  expect(await heard('result', 'c')).toMatchObject({ slot: 'cpu0', output: '' })
})

test('a GPU that comes gets a slot and its queues; one that goes gives its unit back', async () => {
  await start()
  await slotIds('cpu0')
  smi.setCards([{ ...B, index: 0 }])
  const grown = await slotIds('cpu0 gpu0')
  expect(grown.gpus.map(gpu => gpu.uuid)).toEqual(['GPU-b'])
  await seen(({ queues }) => queues.join(' ') === 'cpu gpu.vram8 gpu.vram6 gpu')
  send('gpu', [unit('u', 'wait')])
  await heard('started', 'u')
  smi.setCards([])
  await heard('returned', 'u')
  expect(await slotIds('cpu0')).toMatchObject({ queues: ['cpu'], gpus: [] })
  await until(() => master.wants().every(({ slot }) => slot === 'cpu0'))
  await until(async () => {
    const last = (await written()).findLast(message => message.type === 'state')
    return last?.holding.length === 0 && last.wants.length === 1
  })
})

test('a GPU is known by its UUID: another index is the same slot, and ids stay unique', async () => {
  smi.setCards([A, B])
  await start({ concurrency: 0 })
  await slotIs('gpu1', 'idle')
  send('gpu', [unit('u', 'wait'), unit('v', 'wait')])
  await slotIs('gpu1', 'running')
  smi.setCards([
    { ...B, index: 0 },
    { ...A, uuid: 'GPU-c', index: 1 }
  ])
  const { slots } = await slotIds('gpu1 gpu1-2')
  expect(slots.map(slot => slot.device)).toEqual(['GPU-b', 'GPU-c'])
  await slotIs('gpu1', 'running')
  expect((await said()).filter(message => message.type === 'returned')).toHaveLength(1)
})

test('only three failures of nvidia-smi in a row mean that the GPUs are gone', async () => {
  smi.setCards([A])
  await start({ concurrency: 0 })
  send('gpu', [unit('u', 'wait')])
  await heard('started', 'u')
  smi.failTimes(2)
  await moreLooks(3)
  await slotIs('gpu0', 'running')
  expect((await said()).map(message => message.type)).toEqual(['started'])
  smi.failTimes(3)
  await heard('returned', 'u')
  send('gpu', [unit('u', 'wait')])
  // It answers again, and the unit goes on in a new slot.
  await until(async () => (await said()).filter(message => message.type === 'started').length === 2)
})

test("owner first: while somebody else's process uses the GPU, it takes no new unit and says why", async () => {
  smi.setCards([A])
  await start()
  send('gpu', [unit('before', 'wait', { ms: 500 })])
  await heard('started', 'before')
  // Process 1 is nobody's child here.
  smi.setProcesses([{ gpuUuid: 'GPU-a', pid: 1, usedGb: 5.1 }])
  send('gpu', [unit('after', 'echo')])
  send('cpu', [unit('beside', 'echo')])
  await heard('result', 'before')
  const { slots, status } = await slotIs('gpu0', 'reserved')
  expect(slots[0]?.reason).toMatch(/^GPU 0 is used by process 1 \(.+\), 5\.1 GB$/)
  expect(status).toBe('online')
  await heard('result', 'beside')
  expect((await said()).some(message => message.unitId === 'after')).toBe(false)
  smi.setProcesses([])
  await heard('result', 'after')
})

test('our own processes reserve no GPU, whatever they hold', async () => {
  smi.setCards([A])
  await start({ concurrency: 0 })
  const { libraries } = await slotIs('gpu0', 'idle')
  smi.setProcesses([{ gpuUuid: 'GPU-a', pid: Number(libraries.pid), usedGb: 20 }])
  await moreLooks(2)
  send('gpu', [unit('u', 'echo')])
  await heard('result', 'u')
})

test('a child that was replaced while nvidia-smi looked was ours all the same', async () => {
  smi.setCards([A])
  // Presence is said sooner than the next look comes.
  await start({ concurrency: 0 }, { lookAtGpusEveryMs: 1_000 })
  const { libraries } = await slotIs('gpu0', 'idle')
  smi.setProcesses([{ gpuUuid: 'GPU-a', pid: Number(libraries.pid), usedGb: 20 }])
  await smi.hold()
  send('gpu', [unit('u', 'crash')])
  await heard('error', 'u')
  await seen(presence => presence.libraries.pid !== libraries.pid && presence.slots[0]?.state === 'idle')
  smi.setProcesses([])
  const looks = smi.looks()
  smi.release()
  // A reserved card stays so for two looks.
  await until(() => smi.looks() > looks)
  expect((await slotIds('gpu0')).slots[0]).toMatchObject({ state: 'idle', reason: null })
})

test('a reserved slot that is drained too stays so until both are over', async () => {
  smi.setCards([A])
  smi.setProcesses([{ gpuUuid: 'GPU-a', pid: 1, usedGb: 2 }])
  await start({ concurrency: 0 })
  await slotIs('gpu0', 'reserved')
  await tell({ type: 'drain' })
  await slotIs('gpu0', 'draining')
  smi.setProcesses([])
  await moreLooks(3)
  send('gpu', [unit('u', 'echo')])
  await slotIs('gpu0', 'draining')
  await tell({ type: 'resume' })
  await heard('result', 'u')
})
