import { afterEach, expect, test } from 'vitest'
import { runSc } from './run-sc.ts'
import { json, startTinyMaster, type TinyMaster } from './tiny-master.ts'

let master: TinyMaster | undefined
afterEach(async () => {
  await master?.close()
  master = undefined
})

const KEY = {
  id: 'k-1',
  name: 'night \u202ejob\u001b[31m',
  scopes: ['submit', 'read'],
  createdAt: '2026-01-02T03:04:05.678Z',
  lastUsedAt: null,
  revokedAt: null
}
const old = { ...KEY, id: 'k-0', lastUsedAt: '2026-01-02T03:05:00Z', revokedAt: '2026-01-03T00:00:00Z' }

test('keys are listed, without control characters that a name has', async () => {
  master = await startTinyMaster({
    'GET /api/keys': (_, response) => json(response, 200, { items: [old, KEY], nextCursor: null })
  })
  const { code, stdout } = await runSc(['keys', '--master', master.url])
  expect(stdout).toMatch(/k-0 +submit read +2026-01-02 03:04 +2026-01-02 03:05 +revoked +night/)
  expect(stdout).toMatch(/k-1 +submit read +2026-01-02 03:04 +never +good +night/)
  expect(stdout).not.toContain('\u001b')
  expect(code).toBe(0)
  const asJson = await runSc(['keys', '--json', '--master', master.url])
  expect(JSON.parse(asJson.stdout)).toEqual([old, KEY])
})

test('a new key goes to stdout alone', async () => {
  let sent = ''
  master = await startTinyMaster({
    'POST /api/keys': (_, response, body) => {
      sent = body.toString()
      json(response, 201, { ...KEY, key: 'sc_the-key' })
    }
  })
  const args = ['keys', 'create', '--scope', 'submit', '--scope', 'read', 'night job', '--master', master.url]
  const { code, stdout, stderr } = await runSc(args)
  expect(JSON.parse(sent)).toEqual({ name: 'night job', scopes: ['submit', 'read'] })
  expect([code, stdout]).toEqual([0, 'sc_the-key\n'])
  expect(stderr).toContain('sc keys revoke k-1')
  expect(JSON.parse((await runSc([...args, '--json'])).stdout)).toEqual({ ...KEY, key: 'sc_the-key' })
})

test('a key is revoked by its id', async () => {
  master = await startTinyMaster({ 'DELETE /api/keys/k-0': (_, response) => json(response, 200, old) })
  const { code, stdout } = await runSc(['keys', 'revoke', 'k-0', '--master', master.url])
  expect([code, stdout]).toEqual([0, expect.stringMatching(/k-0 +night/)])
  const none = await runSc(['keys', 'revoke', 'k-9', '--master', master.url])
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('SC_NOT_FOUND')])
})

test.for([
  [['keys', 'create', 'x'], "required option '--scope <scope>' not specified"],
  [['keys', 'create', 'x', '--scope', 'everything'], 'Allowed choices are read, submit, metrics, admin'],
  [['keys', 'revoke'], "missing required argument 'id'"],
  [['keys', 'rovoke', 'k-1'], 'too many arguments']
] as const)('%j is refused with exit code 2', async ([args, message]) => {
  const { code, stdout, stderr } = await runSc([...args], { SC_MASTER_URL: 'http://127.0.0.1:9' })
  expect(stderr).toContain(message)
  expect([code, stdout]).toEqual([2, ''])
})
