import { execFile } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { checkSettings } from '../src/check-settings.ts'

const run = promisify(execFile)
const { signal } = new AbortController()
const dataDir = mkdtempSync(join(tmpdir(), 'sc-settings-'))
const settings = { dataDir, tasksDir: undefined, port: 0 }
const NOBODY = 65_534
let other: Server

beforeAll(async () => {
  other = createServer()
  await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
})
afterAll(() => {
  other.close()
  rmSync(dataDir, { recursive: true, force: true })
})

it('settings that work pass', async () => {
  await checkSettings({ ...settings, tasksDir: dataDir }, ['127.0.0.1', '0.0.0.0'], signal)
})

it.each([
  [
    'SC_TASKS_DIR',
    { tasksDir: '/nowhere/tasks' },
    ['127.0.0.1'],
    /^SC_TASKS_DIR: there is no folder \/nowhere\/tasks\.$/
  ],
  [
    'SC_DATA_DIR',
    { dataDir: join(import.meta.filename, 'x') },
    ['127.0.0.1'],
    /^SC_DATA_DIR: .* cannot be used: ENOTDIR/
  ],
  ['an address of another machine', {}, ['192.0.2.1'], /^SC_HOST: 192\.0\.2\.1 is no address of this machine\.$/],
  [
    'an unknown host',
    {},
    ['no.such.host.invalid'],
    /^SC_HOST: nothing is known of a machine named no\.such\.host\.invalid\.$/
  ]
])('one that cannot work is named before anything is started: %s', async (_, change, hosts, message) => {
  await expect(checkSettings({ ...settings, ...change }, hosts, signal)).rejects.toMatchObject({
    code: 'SC_CONFIG',
    message: expect.stringMatching(message)
  })
})

it('a port that another program has is named, once it had the time to end', async () => {
  const { port } = other.address() as AddressInfo
  await expect(checkSettings({ ...settings, port }, ['127.0.0.1'], signal)).rejects.toMatchObject({
    code: 'SC_CONFIG',
    message: `SC_PORT: another program listens on port ${port} of 127.0.0.1, perhaps another master. End it, or choose another port by --port.`
  })
  const waits = checkSettings({ ...settings, port }, ['127.0.0.1'], signal)
  await new Promise(resolve => other.close(resolve))
  await waits
})

// As root, which may do anything, by a process of another user: where that one may read the project.
it('a folder in which another user has started a master says what to do', async context => {
  const folder = join(dataDir, 'shared')
  mkdirSync(join(folder, 'redis'), { recursive: true })
  writeFileSync(join(folder, 'admin-key'), 'secret')
  for (const name of ['redis', 'admin-key']) chmodSync(join(folder, name), 0)
  chmodSync(dataDir, 0o755)
  chmodSync(folder, 0o777)
  const module = JSON.stringify(new URL('../src/check-settings.ts', import.meta.url).href)
  const check = `const { checkSettings } = await import(${module}).catch(() => process.exit(7))
    const settings = { dataDir: ${JSON.stringify(folder)}, port: 0 }
    await checkSettings(settings, ['127.0.0.1'], new AbortController().signal).catch(({ code, message }) => console.log(code, message))`
  const isRoot = process.getuid?.() === 0
  const options = isRoot ? { uid: NOBODY, gid: NOBODY, cwd: '/' } : {}
  const ran = await run(process.execPath, ['--input-type=module', '-e', check], options).catch((error: Error) => error)
  if (isRoot && ran instanceof Error) return context.skip('the other user may not read the project')
  expect(ran).toMatchObject({
    stdout: expect.stringMatching(/^SC_CONFIG SC_DATA_DIR: .+ may not read and write .*shared\/(redis|admin-key)\. /)
  })
  expect(ran).toMatchObject({
    stdout: expect.stringMatching(isRoot ? /It belongs to user 0: .*sudo chown -R / : /chmod -R u\+rwX /)
  })
})
