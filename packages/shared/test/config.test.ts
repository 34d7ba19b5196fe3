import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { childEnv, loadConfig, parseConfig } from '../src/config.ts'
import { ScError } from '../src/errors.ts'

const undo: Array<() => void> = []
afterEach(() => {
  for (const step of undo.splice(0).reverse()) step()
})

function problems(env: Record<string, string>): string {
  try {
    parseConfig(env)
  } catch (error) {
    expect(error).toBeInstanceOf(ScError)
    expect((error as ScError).code).toBe('SC_CONFIG')
    return (error as ScError).message
  }
  throw new Error('the configuration was accepted')
}

test('an empty environment gives the documented defaults, with absolute folders', () => {
  expect(parseConfig({}, {}, '/srv')).toMatchObject({
    dataDir: '/srv/data',
    port: 5080,
    mode: 'auto',
    chunkSeconds: 150,
    maxUploadBytes: 2 ** 30,
    maxInputBytes: 2 ** 24,
    logLevel: 'info',
    redisUrl: undefined
  })
})

test('one message names every bad variable and shows no value', () => {
  const message = problems({
    SC_PORT: '70000',
    SC_MODE: 'wide',
    SC_ADMIN_KEY: 'hunter2',
    REDIS_URL: 'http://hunter2',
    SC_CHUNK_SECONDS: '1e3',
    LOG_LEVEL: 'loud'
  })
  for (const name of ['SC_PORT', 'SC_MODE', 'SC_ADMIN_KEY', 'REDIS_URL', 'SC_CHUNK_SECONDS', 'LOG_LEVEL'])
    expect(message).toContain(`  ${name}: expected`)
  expect(message).not.toContain('hunter2')
})

test('the largest input is within what master and worker can hold', () => {
  for (const bytes of ['65535', '33554433', '16MB', '-1'])
    expect(problems({ SC_MAX_INPUT_BYTES: bytes })).toContain(
      'SC_MAX_INPUT_BYTES: expected a whole number from 65536 to 33554432'
    )
  expect(parseConfig({ SC_MAX_INPUT_BYTES: '65536' }).maxInputBytes).toBe(65_536)
})

test('a misspelt SC_ name is an error that names the nearest one; other names are not ours', () => {
  expect(problems({ SC_PROT: '1' })).toContain('SC_PROT: there is no such setting; did you mean SC_PORT?')
  expect(parseConfig({ SCX_PROT: '1', PORT: '9' }).port).toBe(5080)
})

test('who may log in from the tailnet is a list of login names, or the owner', () => {
  expect(parseConfig({}).tailnetLogin).toEqual([])
  const names = ['ann@example.com', 'ben@github', 'owner']
  expect(parseConfig({ SC_TAILNET_LOGIN: 'ann@example.com, ben@github,owner' }).tailnetLogin).toEqual(names)
  for (const slip of ['onwer', 'ann', '*', 'ann@example.com ben@example.com', 'ann@example.com,', 'tagged-devices'])
    expect(problems({ SC_TAILNET_LOGIN: slip })).toContain('SC_TAILNET_LOGIN: expected login names')
})

test('flags win over the environment and empty values count as not set', () => {
  expect(parseConfig({ SC_PORT: '6000', SC_HOST: '' }, { SC_PORT: '7000' })).toMatchObject({
    port: 7000,
    host: undefined
  })
  expect(parseConfig({ SC_PORT: '6000' }, { SC_PORT: undefined }).port).toBe(6000)
})

test('AZURITE_CONN_STR is another name of the Azure connection string, never a second one', () => {
  const one = 'AccountName=a;AccountKey=b;'
  expect(parseConfig({ AZURITE_CONN_STR: one }).azureConnectionString).toBe(one)
  expect(problems({ AZURITE_CONN_STR: one, AZURE_STORAGE_CONNECTION_STRING: 'AccountName=other' })).toContain('AZURITE')
})

function enterFolder(): void {
  const folder = mkdtempSync(join(tmpdir(), 'sc-config-'))
  const before = process.cwd()
  process.chdir(folder)
  undo.push(
    () => rmSync(folder, { recursive: true }),
    () => process.chdir(before)
  )
}

test('.env in the working folder is read, and the environment wins over it', () => {
  enterFolder()
  process.env.SC_HOST = '::1'
  undo.push(() => delete process.env.SC_HOST)
  writeFileSync('.env', 'SC_HOST=localhost\nSC_CHUNK_SECONDS=60\n')
  expect(loadConfig()).toMatchObject({ host: '::1', chunkSeconds: 60 })
})

test('.env is read as Windows writes it, or refused, and never by half', () => {
  enterFolder()
  const text = 'SC_CHUNK_SECONDS=60\r\nSC_HOST=localhost\r\n'
  const bigEndian = Buffer.from(`\ufeff${text}`, 'utf16le').swap16()
  for (const bytes of [Buffer.from(`\ufeff${text}`), Buffer.from(`\ufeff${text}`, 'utf16le'), bigEndian]) {
    writeFileSync('.env', bytes)
    expect(loadConfig()).toMatchObject({ host: 'localhost', chunkSeconds: 60 })
  }
  for (const bytes of [Buffer.from(text, 'utf16le'), Buffer.from('SC_HOST=caf\xe9\n', 'latin1')]) {
    writeFileSync('.env', bytes)
    expect(() => loadConfig()).toThrow(/\.env is no text in UTF-8 or UTF-16: save it as UTF-8/)
  }
})

test('an address of Redis may name a database by its number, and nothing else', () => {
  for (const REDIS_URL of ['redis://a', 'redis://a/', 'redis://a/0', 'rediss://u:p@a:1/15'])
    expect(parseConfig({ REDIS_URL, SC_BROKER: REDIS_URL })).toMatchObject({ redisUrl: REDIS_URL, broker: REDIS_URL })
  for (const REDIS_URL of ['redis://a/abc', 'redis://a/-1', 'redis://a/1/2']) {
    expect(problems({ REDIS_URL })).toMatch(/REDIS_URL: expected nothing behind the host but the number of a database/)
    expect(problems({ SC_BROKER: REDIS_URL })).toMatch(/SC_BROKER: expected nothing behind the host/)
  }
})

test('a child process does not inherit secrets', () => {
  process.env.SC_ADMIN_KEY = 'a-long-enough-secret'
  undo.push(() => delete process.env.SC_ADMIN_KEY)
  expect(childEnv({ A: '1' })).toMatchObject({ A: '1', PATH: process.env.PATH })
  expect(childEnv()).not.toHaveProperty('SC_ADMIN_KEY')
})

test('a folder may begin with the home folder, and a host be written as in an address', () => {
  // In `.env` on Windows.
  expect(parseConfig({ SC_DATA_DIR: '~\\cluster' }).dataDir).toBe(resolve(`${homedir()}\\cluster`))
  const names = { SC_DATA_DIR: '~/cluster', SC_MODELS_DIR: '~', SC_TASKS_DIR: '/a/~/b', SC_HOST: '[::1]' }
  expect(parseConfig(names)).toMatchObject({
    dataDir: join(homedir(), 'cluster'),
    modelsDir: homedir(),
    tasksDir: resolve('/a/~/b'),
    host: '::1'
  })
})

test('what could never be read, or never be shown, is refused with its name', () => {
  for (const name of ['REDIS_URL', 'SC_BROKER'])
    expect(() => parseConfig({ [name]: 'redis://:50%secret@a:6379' })).toThrow(
      `${name}: expected a % of the user or the password as %25, and an @ as %40`
    )
  for (const SC_ADMIN_KEY of ['a key with blanks in it', 'schlüsselschlüssel'])
    expect(() => parseConfig({ SC_ADMIN_KEY })).toThrow(
      'SC_ADMIN_KEY: expected letters, digits and signs of ASCII, without spaces'
    )
})
