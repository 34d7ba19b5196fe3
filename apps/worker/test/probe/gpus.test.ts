import { chmodSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { parseGpus, probeGpus } from '../../src/probe/gpus.ts'
import { planSlots } from '../../src/probe/slot-plan.ts'

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

test('finds nvidia-smi on PATH, and no GPU where there is none', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sc-smi-'))
  writeFileSync(join(folder, 'cards'), TWO_CARDS)
  writeFileSync(join(folder, 'nvidia-smi'), `#!/bin/sh\nwhile read -r line; do echo "$line"; done < ${folder}/cards\n`)
  chmodSync(join(folder, 'nvidia-smi'), 0o755)
  vi.stubEnv('PATH', folder)
  expect((await probeGpus()).map(gpu => gpu.uuid)).toEqual(['GPU-aaaa', 'GPU-bbbb'])
  vi.stubEnv('PATH', join(folder, 'empty'))
  expect(await probeGpus()).toEqual([])
  vi.unstubAllEnvs()
})

test('a GPU slot serves the classes that its memory holds, most demanding first, then cpu', () => {
  const slots = planSlots(parseGpus(TWO_CARDS), {})
  expect(slots).toEqual([
    { id: 'gpu0', device: 'GPU-aaaa', queues: ['gpu.vram24', 'gpu.vram12', 'gpu.vram8', 'gpu.vram6', 'gpu', 'cpu'] },
    { id: 'gpu1', device: 'GPU-bbbb', queues: ['gpu.vram12', 'gpu.vram8', 'gpu.vram6', 'gpu', 'cpu'] }
  ])
})

test('without a GPU there is a CPU slot; flags add, choose and replace', () => {
  const cards = parseGpus(TWO_CARDS)
  const cpu = { id: 'cpu0', device: 'cpu', queues: ['cpu'] }
  expect(planSlots([], {})).toEqual([cpu])
  expect(planSlots([], { concurrency: 2 })).toEqual([cpu, { ...cpu, id: 'cpu1' }])
  expect(planSlots(cards, { queues: ['cpu'] })).toEqual([cpu])
  expect(planSlots([], { queues: ['cpu', 'gpu'] })).toEqual([{ ...cpu, queues: ['cpu', 'gpu'] }])
  expect(planSlots(cards, { gpus: ['1'], concurrency: 1 }).map(slot => slot.id)).toEqual(['gpu1', 'cpu0'])
  expect(() => planSlots(cards, { gpus: ['7'] })).toThrow(/no such GPU \(it has 0, 1\)/)
})
