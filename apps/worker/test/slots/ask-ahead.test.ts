import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createAskAhead } from '../../src/slots/ask-ahead.ts'
import type { RunTask } from '../../src/slots/run-task.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const UNIT = { unitId: 'u', jobId: 'j', task: 'chunk', index: 0, inputRef: null, params: {}, deadline: 60_000 }
const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** A slot whose worker is `tripMs` away from Redis; `events` says what it did, and when in its unit. */
function createSlot(tripMs: number) {
  const events: string[] = []
  let startMs = 0
  const note = (what: string) => (): void => void events.push(`${what} at ${Math.round(performance.now() - startMs)}`)
  const askingAhead = createAskAhead({ roundTripMs: () => tripMs, ask: note('asked'), giveBack: note('given back') })
  const hooks = {
    signal: new AbortController().signal,
    onBegin: () => {},
    onRan: () => {},
    onProgress: vi.fn<(fraction: number, partial: unknown) => void>(),
    onLog: () => {}
  }
  /** Runs a unit of this task and length; `steps`: of its progress, by time. */
  async function run(
    task: string,
    ranMs: number,
    { steps = [], seconds }: { steps?: Array<[atMs: number, fraction: number]>; seconds?: number } = {}
  ) {
    const runTask: RunTask = async (_, __, { onProgress }) => {
      for (const [atMs, fraction] of steps) setTimeout(() => onProgress(fraction, null), atMs)
      await sleep(ranMs)
      return 'output'
    }
    startMs = performance.now()
    const running = askingAhead(runTask)({ ...UNIT, task, seconds }, {}, hooks)
    await vi.advanceTimersByTimeAsync(ranMs)
    expect(await running).toBe('output')
    return events.splice(0)
  }
  return { run, askingAhead, events, hooks }
}

test('it asks eight round trips before the end, by how long the task took', async () => {
  const { run } = createSlot(50)
  expect(await run('chunk', 2_000)).toEqual([])
  expect(await run('chunk', 2_000)).toEqual(['asked at 1600'])
  // Of another task nothing is known.
  expect(await run('other', 2_000)).toEqual([])
})

test('a longer chunk is expected to take longer', async () => {
  const { run } = createSlot(50)
  await run('chunk', 1_000, { seconds: 10 })
  expect(await run('chunk', 3_000, { seconds: 30 })).toEqual(['asked at 2600'])
})

test('progress says better when the end is', async () => {
  const { run, hooks } = createSlot(50)
  await run('chunk', 2_000)
  expect(await run('chunk', 4_000, { steps: [[1_000, 0.25]] })).toEqual(['asked at 3600'])
  expect(hooks.onProgress).toHaveBeenCalledWith(0.25, null)
})

test('what it asked for goes back when the unit takes longer', async () => {
  const { run } = createSlot(50)
  await run('chunk', 2_000)
  expect(await run('chunk', 9_000)).toEqual(['asked at 1600', 'given back at 2800'])
})

test('it asks once, whatever the progress is then', async () => {
  const { run } = createSlot(50)
  await run('chunk', 2_000)
  const steps: Array<[number, number]> = [
    [1_700, 0.5],
    [1_800, 0.9]
  ]
  expect(await run('chunk', 2_000, { steps })).toEqual(['asked at 1600'])
})

test.each([
  [4, 500],
  [50, 30_000]
])('it does not ask ahead where a round trip is next to nothing: %i ms, of a unit of %i', async (tripMs, ranMs) => {
  const { run } = createSlot(tripMs)
  await run('chunk', ranMs)
  expect(await run('chunk', ranMs)).toEqual([])
})

test('nothing is asked once the unit has failed', async () => {
  const { run, askingAhead, events, hooks } = createSlot(50)
  await run('chunk', 2_000)
  const failing: RunTask = async () => {
    await sleep(1_000)
    throw new Error('it fell over')
  }
  const running = askingAhead(failing)({ ...UNIT, task: 'chunk' }, {}, hooks)
  const failed = expect(running).rejects.toThrow('it fell over')
  await vi.advanceTimersByTimeAsync(60_000)
  await failed
  expect(events).toEqual([])
})
