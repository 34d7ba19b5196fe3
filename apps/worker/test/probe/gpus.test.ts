import { afterEach, expect, test, vi } from 'vitest'
import { lookAtGpus, parseGpus, parseProcesses, probeGpus } from '../../src/probe/gpus.ts'
import { createFakeSmi } from '../fixtures/fake-smi.ts'

const TWO_CARDS = `0, GPU-aaaa, NVIDIA GeForce RTX 4090, 570.86.10, 24564, 512, 3, 41, 23.50, 8.9
1, GPU-bbbb, Tesla K80, 470.1, 11441, 0, [N/A], 30, [Not Supported], [N/A]
`

test('reads a card a line; what a card does not say is null', () => {
  const [first, second] = parseGpus(TWO_CARDS)
  expect(first).toEqual({
    index: 0,
    uuid: 'GPU-aaaa',
    name: 'NVIDIA GeForce RTX 4090',
    vramTotalGb: 23.99,
    vramUsedGb: 0.5,
    utilization: 3,
    temperatureC: 41,
    powerW: 23.5,
    driver: '570.86.10',
    computeCapability: '8.9'
  })
  expect(second).toMatchObject({ utilization: null, powerW: null, computeCapability: null, temperatureC: 30 })
})

test('an error text is no card', () => {
  expect(parseGpus('NVIDIA-SMI has failed because it could not communicate with the driver.\n')).toEqual([])
})

test('reads a process a line; Windows does not say what each holds', () => {
  expect(parseProcesses('GPU-aaaa, 4711, 5222\nGPU-bbbb, 12, [N/A]\n')).toEqual([
    { gpuUuid: 'GPU-aaaa', pid: 4711, usedGb: 5.1 },
    { gpuUuid: 'GPU-bbbb', pid: 12, usedGb: null }
  ])
  expect(parseProcesses('No running processes found\n')).toEqual([])
})

afterEach(() => vi.unstubAllEnvs())

test('finds nvidia-smi on PATH, and tells no GPU from no answer', async () => {
  const smi = createFakeSmi()
  vi.stubEnv('PATH', smi.path)
  smi.setCards([{ index: 0, uuid: 'GPU-aaaa', totalGb: 24 }])
  smi.setProcesses([{ gpuUuid: 'GPU-aaaa', pid: 4711, usedGb: 5.1 }])
  expect(await lookAtGpus()).toMatchObject({
    gpus: [{ uuid: 'GPU-aaaa', vramTotalGb: 24 }],
    processes: [{ pid: 4711 }]
  })
  smi.setCards([])
  expect(await lookAtGpus()).toEqual({ gpus: [], processes: [] })
  smi.failTimes(2)
  expect(await lookAtGpus()).toBeNull()
  expect(await probeGpus()).toEqual([])
  vi.stubEnv('PATH', '/nowhere')
  expect(await lookAtGpus()).toBeNull()
})
