import type { Gpu } from '@sc/shared/presence.ts'
import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import { expect, test } from 'vitest'
import { createSlotPlanner, queuesOf, type SlotPlan, type SlotWishes } from '../../src/probe/slot-plan.ts'

const gpu = (index: number, uuid: string, vramTotalGb: number): Gpu => ({
  index,
  uuid,
  name: 'a card',
  vramTotalGb,
  vramUsedGb: 0,
  utilization: 0,
  temperatureC: null,
  powerW: null,
  driver: '570',
  computeCapability: null
})
const CARDS = [gpu(0, 'GPU-a', 23.99), gpu(1, 'GPU-b', 11.2), gpu(2, 'GPU-small', 2)]
const CPU = { id: 'cpu0', device: 'cpu', classes: ['cpu'] }

const plan = (found: Gpu[], wishes: SlotWishes = {}): SlotPlan[] => createSlotPlanner(found, wishes)(found)
const served = (found: Gpu[], wishes: SlotWishes = {}): Record<string, string> =>
  Object.fromEntries(plan(found, wishes).map(slot => [slot.id, queuesOf(slot, []).join(' ')]))

test('a slot for each GPU that is large enough serves its classes; a CPU lane is beside', () => {
  expect(plan(CARDS)).toEqual([
    { id: 'gpu0', device: 'GPU-a', classes: ['gpu.vram24', 'gpu.vram12', 'gpu.vram8', 'gpu.vram6', 'gpu'] },
    { id: 'gpu1', device: 'GPU-b', classes: ['gpu.vram12', 'gpu.vram8', 'gpu.vram6', 'gpu'] },
    CPU
  ])
  expect(plan([])).toEqual([CPU])
})

test('a slot more is there with an LLM server, unless queues are asked for', () => {
  const LLM = { id: 'llm0', device: 'cpu', classes: ['llm'] }
  expect(createSlotPlanner([], {})([], true)).toEqual([CPU, LLM])
  expect(createSlotPlanner(CARDS, { concurrency: 0 })(CARDS, true).at(-1)).toEqual(LLM)
  expect(createSlotPlanner([], { queues: ['llm'] })([], true)).toEqual([{ ...CPU, queues: ['llm'] }])
})

test('--concurrency is the number of lanes; none and no GPU is a worker that waits for one', () => {
  expect(Object.keys(served(CARDS, { concurrency: 2 }))).toEqual(['gpu0', 'gpu1', 'cpu0', 'cpu1'])
  expect(Object.keys(served(CARDS, { concurrency: 0 }))).toEqual(['gpu0', 'gpu1'])
  const planner = createSlotPlanner([], { concurrency: 0 })
  expect(planner([])).toEqual([])
  expect(planner(CARDS).map(slot => slot.id)).toEqual(['gpu0', 'gpu1'])
})

test('--queues is served as it is: by GPUs what is for GPUs, by lanes the rest, by lanes all where there is no GPU', () => {
  expect(served(CARDS, { queues: ['gpu', 'cpu', 'cpu+mine'] })).toEqual({
    gpu0: 'gpu',
    gpu1: 'gpu',
    cpu0: 'cpu cpu+mine'
  })
  expect(served(CARDS, { queues: ['cpu'] })).toEqual({ cpu0: 'cpu' })
  expect(served(CARDS, { queues: ['gpu'] })).toEqual({ gpu0: 'gpu', gpu1: 'gpu' })
  expect(served([], { queues: ['gpu', 'cpu'] })).toEqual({ cpu0: 'gpu cpu' })
})

test('--gpus means the cards that had these indexes at the start', () => {
  const planner = createSlotPlanner(CARDS, { gpus: ['1'], concurrency: 0 })
  expect(planner(CARDS).map(slot => slot.device)).toEqual(['GPU-b'])
  expect(planner([gpu(0, 'GPU-b', 11.2), gpu(1, 'GPU-new', 24)]).map(slot => slot.device)).toEqual(['GPU-b'])
  expect(plan(CARDS, { gpus: ['GPU-a'], concurrency: 0 }).map(slot => slot.id)).toEqual(['gpu0'])
  expect(() => createSlotPlanner(CARDS, { gpus: ['7'] })).toThrow(/no such GPU \(it has 0, 1, 2\)/)
})

test('a task of the user has queues of its own, where the slot can run it', () => {
  const task = (name: string, builtIn: boolean, vramGb: number): TaskDescription => {
    const shape = { description: '', features: [], inputSchema: {}, outputSchema: {} }
    return { name, builtIn, vramGb, gpu: vramGb > 0, ...shape }
  }
  const tasks = [task('transcribe.chunk', true, 0), task('count', false, 0), task('diarize', false, 8)]
  const queues = plan([gpu(0, 'GPU-8', 8)]).map(slot => queuesOf(slot, tasks))
  expect(queues).toEqual([
    ['gpu.vram8+diarize', 'gpu.vram8', 'gpu.vram6', 'gpu'],
    ['cpu+count', 'cpu']
  ])
})
