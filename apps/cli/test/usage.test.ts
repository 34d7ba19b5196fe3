import { expect, test } from 'vitest'
import { runSc } from './run-sc.ts'

/** Each is refused before anything is sent: no master runs at that address. */
const NOWHERE = { SC_MASTER_URL: 'http://127.0.0.1:9' }

test.for([
  [['transcribe'], "missing required argument 'file'"],
  [['transcribe', 'a.wav', '--format', 'docx'], 'Allowed choices are text, json, srt, vtt, tsv'],
  [['transcribe', 'a.wav', '--chunk-seconds', 'many'], 'Expected a whole number'],
  [['transcribe', 'a.wav', '--task', 'sing'], 'Allowed choices are transcribe, translate'],
  [['transcribe', 'missing-1.wav', 'missing-2.wav'], 'missing-2.wav: there is no such file'],
  [['transcrieb'], 'Did you mean transcribe?'],
  [['jobs', '--limit', '-1'], 'Expected a whole number'],
  [['jobs', '--master', 'localhost:5080'], 'starts with http:// or https://'],
  [['workers', '--key-file', 'nowhere'], 'there is no key in that file']
] as const)('%j is refused with exit code 2', { timeout: 20_000 }, async ([args, message]) => {
  const { code, stdout, stderr } = await runSc([...args], NOWHERE)
  expect(stderr).toContain(message)
  expect(stdout).toBe('')
  expect(code).toBe(2)
})

test('bad settings are all named in one message', async () => {
  const { code, stderr } = await runSc(['jobs'], { ...NOWHERE, SC_PORT: 'x', SC_MASTR: '1' })
  expect(stderr).toContain('SC_PORT')
  expect(stderr).toContain('SC_MASTR')
  expect(code).toBe(2)
})

test('without a master of this data folder the message says how to get one', async () => {
  const { code, stderr } = await runSc(['jobs', '--data-dir', '/nonexistent'])
  expect(stderr).toContain('npm run quickstart')
  expect(code).toBe(2)
})

test('a master that does not answer is a failure, with its address', async () => {
  const { code, stderr } = await runSc(['jobs'], NOWHERE)
  expect(stderr).toContain('No answer from the master at http://127.0.0.1:9')
  expect(stderr).toContain('(SC_UNAVAILABLE)')
  expect(code).toBe(1)
})

test('--help is no failure', async () => {
  const { code, stdout } = await runSc(['transcribe', '--help'])
  expect(stdout).toContain('--no-reuse')
  expect(stdout).toContain('--master <url>')
  expect(code).toBe(0)
})
