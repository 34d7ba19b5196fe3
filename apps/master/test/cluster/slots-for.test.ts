import { expect, it } from 'vitest'
import type { WorkerRow } from '../../src/cluster/presence.ts'
import { hasGpuFor } from '../../src/cluster/slots-for.ts'

const slot = (device: string) => ({ id: device, device, state: 'idle', unitId: null, reason: null }) as const
const worker = (queues: string[], status: WorkerRow['status'] = 'online'): WorkerRow =>
  ({ status, queues, slots: [slot('cpu'), ...(queues.includes('gpu') ? [slot('GPU-0')] : [])], gpus: [] }) as never
const [cpu, gpu] = [worker(['cpu']), worker(['gpu', 'cpu'])]

it('a transcription is planned for a GPU where a slot of one takes units', () => {
  expect(hasGpuFor([cpu, gpu])).toBe(true)
  expect(hasGpuFor([cpu])).toBe(false)
  expect(hasGpuFor([])).toBe(false)
})

it('and for one that is away or draining where no CPU slot takes units either', () => {
  for (const status of ['offline', 'draining'] as const) {
    const away = worker(['gpu', 'cpu'], status)
    expect(hasGpuFor([away])).toBe(true)
    // As what waits for such a GPU leaves it: else it would be planned for it again.
    expect(hasGpuFor([cpu, away])).toBe(false)
    expect(hasGpuFor([gpu, away])).toBe(true)
  }
})
