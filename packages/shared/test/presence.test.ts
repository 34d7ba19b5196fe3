import { expect, test } from 'vitest'
import { LARGEST_PRESENCE, type Presence, parsePresence } from '../src/presence.ts'

const PRESENCE: Presence = {
  id: 'w',
  name: 'w',
  hostname: 'desk',
  status: 'online',
  reason: null,
  version: '0.0.0',
  protocol: 6,
  os: 'Linux',
  cpu: { model: 'x', cores: 1, threads: 1, ghz: 1, load: 0 },
  ram: { totalGb: 1, availableGb: 1 },
  gpus: [],
  libraries: {},
  tailscale: null,
  address: null,
  brokerRttMs: null,
  queues: [],
  slots: [],
  tasks: [],
  models: [],
  findings: [],
  figures: { unitsDone: 0, unitsFailed: 0, rssBytes: 0, pythonRssBytes: 0 }
}

test('a presence with two hundred tasks on a machine of many slots is taken as it is', () => {
  const tasks = Array.from({ length: 200 }, (_, at) => `task-${at}`)
  const queues = ['gpu.vram24', 'gpu.vram12', 'gpu', 'cpu'].flatMap(base => tasks.map(name => `${base}+${name}`))
  const slots = Array.from({ length: 200 }, (_, at) => {
    return { id: `cpu${at}`, device: 'cpu', state: 'idle' as const, unitId: null, reason: null }
  })
  const presence = { ...PRESENCE, tasks, queues, slots }
  expect(parsePresence(JSON.stringify(presence))).toEqual(presence)
})

test.each([
  ['is empty', ''],
  ['is no JSON', '{'],
  ['is none', '{}'],
  ['is too long', JSON.stringify({ ...PRESENCE, name: 'x'.repeat(LARGEST_PRESENCE) })],
  ['has more values than any machine', JSON.stringify({ ...PRESENCE, queues: Array(20_000).fill('') })],
  [
    'is nested without end',
    JSON.stringify(PRESENCE).replace('"gpus":[]', `"gpus":${'['.repeat(9_000)}${']'.repeat(9_000)}`)
  ]
])('a presence that %s is none', (_what, text) => {
  expect(parsePresence(text)).toBeNull()
})
