import { type Finding, findingSchema } from '@sc/shared/doctor/finding.ts'
import { afterEach, expect, test } from 'vitest'
import { versionOutcome, workerOutcome } from '../src/doctor/cluster.ts'
import { runSc } from './run-sc.ts'
import { json, startTinyMaster, type TinyMaster } from './tiny-master.ts'

let master: TinyMaster | undefined
afterEach(async () => {
  await master?.close()
  master = undefined
})

const worker = {
  name: 'desk',
  status: 'online',
  lastSeen: '2026-01-01T00:00:00.000Z',
  version: '0.1.0',
  protocol: 3,
  reason: null,
  slots: [{ id: 'cpu0', state: 'idle', reason: null }]
}

async function findings(args: string[]): Promise<{ code: number | null; found: Finding[] }> {
  const { code, stdout } = await runSc(['--json', 'doctor', ...args])
  const found = findingSchema.array().parse(JSON.parse(stdout).findings)
  for (const { status, next } of found) expect(next === null).toBe(status === 'ok')
  return { code, found }
}

test('the way to the master, its parts, its workers and their models', async () => {
  const checks = { redis: { status: 'ok', detail: null }, postgres: { status: 'failing', detail: 'it is away' } }
  master = await startTinyMaster({
    'GET /healthz': (_, response) => json(response, 200, { status: 'ok' }),
    'GET /api/cluster/info': (_, response) => json(response, 200, { mode: 'local', version: '0.1.0' }),
    'GET /api/cluster/health': (_, response) => json(response, 200, { status: 'degraded', checks }),
    'GET /api/workers': (_, response) => json(response, 200, { items: [worker], nextCursor: null }),
    'GET /api/models': (_, response) => json(response, 200, { items: [{ name: 'base', nodes: [{ name: 'desk' }] }] })
  })
  const { code, found } = await findings(['--master', master.url])
  expect(found.map(({ check, status }) => `${check} ${status}`)).toEqual([
    'master: name ok',
    'master: round trip ok',
    'master: path ok',
    'master: packet size ok',
    // The tiny master wants a key for everything.
    'master: clock failed',
    'key ok',
    'version ok',
    'redis ok',
    'postgres failed',
    'worker desk ok',
    'models ok'
  ])
  expect(found.at(-1)?.found).toBe('base (desk)')
  expect(code).toBe(1)
})

test('a wrong key, no answer and no master are findings too', async () => {
  master = await startTinyMaster({})
  const refused = await runSc(['doctor', '--master', master.url], { SC_ADMIN_KEY: 'not-the-key-of-the-master' })
  expect(refused.stdout).toMatch(/^failed {3}key: .*\n {9}-> Name the file with the master's key/m)
  expect(refused.code).toBe(1)
  const { url } = master
  await master.close()
  master = undefined
  const away = await findings(['--master', url])
  expect(away.found.filter(({ status }) => status === 'ok').map(({ check }) => check)).toEqual(['master: name'])
  expect(away.code).toBe(1)
  const none = await findings(['--data-dir', '/nowhere'])
  expect(none).toMatchObject({ code: 1, found: [{ check: 'master', status: 'failed' }] })
})

test('what versions and workers mean', () => {
  expect(versionOutcome('0.2.0', '0.1.0')).toMatchObject({ status: 'warning', next: /^Update this machine/ })
  expect(versionOutcome('0.1.0', '0.2.0')).toMatchObject({ status: 'warning', next: /^Update the master/ })
  const outcome = (change: object) => workerOutcome({ ...worker, ...change }, '0.1.0')
  expect(outcome({}).found).toBe('online, 1 slot, version 0.1.0')
  expect(outcome({ status: 'offline' })).toMatchObject({ status: 'warning', found: /^offline since 2026/ })
  expect(outcome({ status: 'draining', reason: 'quiet hours' }).found).toBe('takes no units: quiet hours')
  expect(outcome({ version: '0.0.9' })).toMatchObject({ status: 'warning', next: /^Update it/ })
  const out = { id: 'gpu0', state: 'out-of-service', reason: 'no CUDA' }
  expect(outcome({ slots: [out] })).toMatchObject({ status: 'failed', found: 'gpu0: no CUDA' })
  expect(outcome({ slots: [out, ...worker.slots] }).status).toBe('warning')
})
