import { type Finding, findingSchema } from '@sc/shared/doctor/finding.ts'
import { afterEach, expect, test } from 'vitest'
import { versionOutcome } from '../src/doctor/cluster.ts'
import { runSc } from './run-sc.ts'
import { json, problem, startTinyMaster, type TinyMaster } from './tiny-master.ts'

let master: TinyMaster | undefined
afterEach(async () => {
  await master?.close()
  master = undefined
})

async function findings(args: string[]): Promise<{ code: number | null; found: Finding[] }> {
  const { code, stdout } = await runSc(['--json', 'doctor', ...args])
  const found = findingSchema.array().parse(JSON.parse(stdout).findings)
  for (const { status, next } of found) expect(next === null).toBe(status === 'ok')
  return { code, found }
}

const INFO = { mode: 'local', version: '0.1.0' }

test('the way to the master, then what the master finds', async () => {
  const items: Finding[] = [
    { check: 'redis', status: 'ok', found: 'ok', next: null },
    { check: 'postgres', status: 'failed', found: 'it is away', next: 'Look whether it runs.' }
  ]
  master = await startTinyMaster({
    'GET /healthz': (_, response) => json(response, 200, { status: 'ok' }),
    'GET /api/cluster/info': (_, response) => json(response, 200, INFO),
    'GET /api/cluster/doctor': (_, response) => json(response, 200, { items, checkedAt: '2026-01-01T00:00:00.000Z' })
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
    'postgres failed'
  ])
  expect(code).toBe(1)
  const shown = await runSc(['doctor', '--master', master.url])
  expect(shown.stdout).toContain('failed   postgres: it is away\n         -> Look whether it runs.\n')
  expect(shown.stdout).toMatch(/7 ok, 0 to look at, 2 failed\n$/)
})

test('a master of an earlier version, and one that does not answer well', async () => {
  let answer: (response: Parameters<typeof json>[0]) => void = response =>
    problem(response, 404, 'SC_NOT_FOUND', 'There is no /api/cluster/doctor.')
  master = await startTinyMaster({
    'GET /api/cluster/info': (_, response) => json(response, 200, INFO),
    'GET /api/cluster/doctor': (_, response) => answer(response)
  })
  const { code, found } = await findings(['--master', master.url])
  expect(found.at(-1)).toMatchObject({ check: 'cluster', found: /earlier version/, next: /^Update the master/ })
  expect(code).toBe(1)
  answer = response => problem(response, 503, 'SC_UNAVAILABLE', 'PostgreSQL is away.')
  expect((await findings(['--master', master.url])).found.at(-1)).toMatchObject({
    check: 'master',
    status: 'failed',
    found: 'PostgreSQL is away.'
  })
  answer = response => problem(response, 403, 'SC_FORBIDDEN', 'This needs a key with the scope "read".')
  expect((await findings(['--master', master.url])).found.at(-1)).toMatchObject({
    check: 'cluster',
    status: 'warning',
    next: /a key with the scope read/
  })
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

test('what versions mean', () => {
  expect(versionOutcome('0.2.0', '0.1.0')).toMatchObject({ status: 'warning', next: /^Update this machine/ })
  expect(versionOutcome('0.1.0', '0.2.0')).toMatchObject({ status: 'warning', next: /^Update the master/ })
})
