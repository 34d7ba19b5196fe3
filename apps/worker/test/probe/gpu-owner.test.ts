import type { Gpu } from '@sc/shared/presence.ts'
import { expect, test } from 'vitest'
import { watchOwners } from '../../src/probe/gpu-owner.ts'

const OURS = 10
const IDLE = new Set(['GPU-a'])
const BUSY = new Set<string>()

function watch() {
  const look = watchOwners({ isOurs: pid => pid === OURS, programOf: pid => (pid === 4711 ? 'game.exe' : null) })
  /** What is said of the card when these processes hold so many GB and the card says that `usedGb` are taken. */
  return (
    processes: Array<[pid: number, usedGb: number | null]>,
    { usedGb = 0.3, utilization = 0, totalGb = 24, idle = IDLE } = {}
  ): string | undefined => {
    const gpu = { index: 0, uuid: 'GPU-a', vramTotalGb: totalGb, vramUsedGb: usedGb, utilization } as Gpu
    const held = processes.map(([pid, gigabytes]) => ({ gpuUuid: 'GPU-a', pid, usedGb: gigabytes }))
    const elsewhere = { gpuUuid: 'GPU-b', pid: 4711, usedGb: 20 }
    return look({ gpus: [gpu], processes: [...held, elsewhere] }, idle).get('GPU-a')
  }
}

test('a card is reserved while somebody else computes on it, and free after two clean looks', () => {
  const look = watch()
  expect(look([[OURS, 20]])).toBeUndefined()
  const reason = 'GPU 0 is used by process 4711 (game.exe), 5.1 GB'
  expect(look([[OURS, 2], [4711, 5.1]])).toBe(reason) // biome-ignore format: one case a line
  expect(look([])).toBe(reason)
  expect(look([[4711, 5.1]])).toBe(reason)
  expect(look([])).toBe(reason)
  expect(look([])).toBeUndefined()
})

test('what a desktop holds all the time does not count: 1 GB, or a tenth of a small card', () => {
  const look = watch()
  expect(look([[1, 0.6], [2, 0.4]])).toBeUndefined() // biome-ignore format: one case a line
  expect(look([[1, 0.6], [2, 0.5]])).toBe('GPU 0 is used by process 1 and 1 more, 1.1 GB') // biome-ignore format: one case a line
  const small = watch()
  expect(small([[1, 0.39]], { totalGb: 4 })).toBeUndefined()
  expect(small([[1, 0.41]], { totalGb: 4 })).toMatch(/process 1, 0.4 GB/)
})

test('graphics count when the card is busy while our slot is idle, twice', () => {
  const game = { usedGb: 6.2, utilization: 87 }
  const look = watch()
  expect(look([[OURS, 2]], game)).toBeUndefined()
  expect(look([[OURS, 2]], { ...game, idle: BUSY })).toBeUndefined()
  expect(look([[OURS, 2]], game)).toBeUndefined()
  expect(look([[OURS, 2]], game)).toBe('GPU 0 is busy with something else (87 %), 4.2 GB')
  expect(look([], { usedGb: 5, utilization: 3 })).toMatch(/busy with something else/)
  expect(look([], { usedGb: 5, utilization: 3 })).toBeUndefined()
})

test('neither much memory nor much load alone is graphics', () => {
  const look = watch()
  for (const seen of [
    { usedGb: 5, utilization: 10 },
    { usedGb: 0.9, utilization: 99 }
  ]) {
    expect([look([], seen), look([], seen)]).toEqual([undefined, undefined])
  }
  expect([look([[1, null]]), look([[1, null]])]).toEqual([undefined, undefined])
})

test('a card that is gone is forgotten', () => {
  const look = watchOwners({ isOurs: () => false, programOf: () => null })
  const gpu = { index: 0, uuid: 'GPU-a', vramTotalGb: 8, vramUsedGb: 0, utilization: null } as Gpu
  expect(look({ gpus: [gpu], processes: [{ gpuUuid: 'GPU-a', pid: 1, usedGb: 3 }] }, IDLE).size).toBe(1)
  expect(look({ gpus: [], processes: [] }, IDLE).size).toBe(0)
  expect(look({ gpus: [gpu], processes: [] }, IDLE).size).toBe(0)
})
