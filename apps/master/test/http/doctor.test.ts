import { join } from 'node:path'
import { type Finding, findingSchema } from '@sc/shared/doctor/finding.ts'
import { presenceKey } from '@sc/shared/redis-keys.ts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { RUNNING, startLocalApi } from '../../../../packages/shared/test/tailscale/local-api-server.ts'
import { workerOutcome } from '../../src/cluster/doctor.ts'
import { PRESENCE, registerTasks } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

const get = (url: string) => one.app.inject({ url, headers: one.bearer('read') })

async function look(): Promise<Finding[]> {
  const answer = await get('/api/cluster/doctor')
  expect(answer.statusCode).toBe(200)
  const { items, checkedAt } = answer.json()
  expect(Math.abs(Date.now() - Date.parse(checkedAt))).toBeLessThan(60_000)
  const found = findingSchema.array().parse(items)
  for (const { status, next } of found) expect(next === null).toBe(status === 'ok')
  return found
}
const of = (findings: Finding[], check: string) => findings.find(finding => finding.check === check)

test('a master alone: its parts, its disks, no worker, no model', async () => {
  const found = await look()
  const isDisk = (check: string) => check.includes('disk of')
  const shown = ({ check, status }: Finding) =>
    isDisk(check) ? check.replace(one.servers.root, 'ROOT') : `${check} ${status}`
  expect(found.map(shown)).toEqual([
    'redis ok',
    'postgres ok',
    'blobs ok',
    'workers failed',
    'master: disk of ROOT',
    'master: disk of ROOT/models',
    'tailscale ok',
    'models warning'
  ])
  expect(of(found, 'workers')?.next).toMatch(/^Start a worker/)
  expect(of(found, 'tailscale')?.found).toBe('not installed')
})

test('a master whose network may be read by others', async () => {
  const { place } = one.deps
  one.deps.place = () => ({ ...place(), mode: 'lan' })
  const found = of(await look(), 'network')
  one.deps.place = place
  expect(found).toMatchObject({ status: 'warning', found: expect.stringContaining('unencrypted') })
})

test('workers, and what they find on their own machines', async () => {
  const lowDisk = { check: 'disk of /data', status: 'warning' as const, found: '3.0 GB free', next: 'Make room.' }
  await registerTasks(one, 'desk', [], { findings: [lowDisk], models: [{ name: 'base', sizeBytes: 1 }] })
  await registerTasks(one, 'old', [], { offline: true, findings: [lowDisk] })
  await expect.poll(async () => (await get('/api/workers')).json().items.length).toBe(2)
  const found = await look()
  expect(of(found, 'worker desk')).toMatchObject({ status: 'ok', found: expect.stringMatching(/^online, 1 slot/) })
  expect(of(found, 'worker desk reports: disk of /data')).toEqual({
    ...lowDisk,
    check: 'worker desk reports: disk of /data'
  })
  expect(of(found, 'worker old')).toMatchObject({ status: 'warning', found: /^offline since/ })
  expect(found.some(({ check }) => check.startsWith('worker old reports: '))).toBe(false)
  expect(of(found, 'models')?.found).toBe('base (desk)')
  const [row] = (await get('/api/workers')).json().items
  expect([row.name, row.findings]).toEqual(['desk', [lowDisk]])
})

test('a worker of another version says no findings, more than any does, or what is not known yet', async () => {
  const say = async (more: object) => {
    const { findings: _, ...before } = PRESENCE
    await one.deps.redis.set(
      presenceKey('odd'),
      JSON.stringify({ ...before, id: 'odd', name: 'odd', ...more }),
      'PX',
      600_000
    )
  }
  const shown = async () => (await get('/api/workers/odd')).json()
  const good = { check: 'gpus', status: 'failed', found: 'no answer', next: 'Look.' }
  await registerTasks(one, 'odd', [], { findings: [good as Finding] })
  for (const [hostname, more] of Object.entries({
    none: {},
    many: { findings: Array.from({ length: 21 }, () => good) },
    long: { findings: [{ ...good, found: 'x'.repeat(501) }] },
    strange: { findings: [{ ...good, status: 'grave' }], whatComesLater: { is: 'left out' } }
  })) {
    await say({ hostname, ...more })
    await expect.poll(async () => (await shown()).hostname).toBe(hostname)
    expect(await shown()).toMatchObject({ status: 'online', findings: [] })
  }
})

test('Tailscale: its warnings, and ways through a relay', async () => {
  const soon = new Date(Date.now() + 3 * 86_400_000).toISOString()
  const status = { ...RUNNING, Self: { ...RUNNING.Self, KeyExpiry: soon }, Health: ['DNS is slow'] }
  const api = await startLocalApi(join(one.servers.root, 'tailscaled.sock'), status)
  try {
    await expect.poll(async () => of(await look(), 'tailscale')?.found).toBe('2 of 3 other machines are online')
    const found = await look()
    expect(of(found, 'tailscale: key')).toMatchObject({
      status: 'warning',
      found: expect.stringContaining('expires in 2 days'),
      next: expect.stringContaining('tailscale up --force-reauth')
    })
    expect(of(found, 'tailscale: health')).toMatchObject({ status: 'warning', found: 'DNS is slow' })
    const paths = (findings: Finding[]) => findings.filter(({ check }) => check.endsWith(': path'))
    // A machine that is no worker may be as slow as it likes.
    expect(paths(found)).toEqual([])
    for (const [name, ip] of [
      ['near', '100.64.0.2'],
      ['far', '100.64.0.3']
    ] as const)
      await registerTasks(one, name, [], { tailscale: { ip, hostname: name } })
    await expect
      .poll(async () => paths(await look()))
      .toEqual([
        {
          check: 'worker far: path',
          status: 'warning',
          found: 'relayed by fra, 30.1 ms',
          next: expect.stringContaining('UDP port 41641')
        }
      ])
  } finally {
    await api.stop()
  }
})

test('what a worker means', () => {
  const worker = { ...PRESENCE, name: 'desk', status: 'online' as const, lastSeen: '2026-01-01T00:00:00.000Z' }
  const outcome = (change: Partial<Parameters<typeof workerOutcome>[0]>) =>
    workerOutcome({ ...worker, ...change }, '0.1.0')
  expect(outcome({}).found).toBe('online, 1 slot, version 0.1.0')
  expect(outcome({ status: 'offline' })).toMatchObject({ status: 'warning', found: /^offline since 2026/ })
  expect(outcome({ status: 'draining', reason: 'quiet hours' }).found).toBe('takes no units: quiet hours')
  expect(outcome({ version: '0.0.9' })).toMatchObject({ status: 'warning', next: /^Update it/ })
  const out = { id: 'gpu0', device: 'GPU-0', state: 'out-of-service' as const, unitId: null, reason: 'no CUDA' }
  expect(outcome({ slots: [out] })).toMatchObject({ status: 'failed', found: 'gpu0: no CUDA' })
  expect(outcome({ slots: [out, ...worker.slots] }).status).toBe('warning')
})
