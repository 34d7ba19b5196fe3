import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { childEnv } from '@sc/shared/config.ts'
import { identityOf } from '@sc/shared/processes.ts'
import { list } from 'tar'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Language, type Node, Parser } from 'web-tree-sitter'
import { createPackedWorker } from '../../src/cluster/packed-worker.ts'
import { startApp, type TestApp } from './start-app.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

const ROUTES = ['/worker/install.sh', '/worker/install.ps1', '/worker/worker.tar.gz']
const get = (url: string, key: string) => one.app.inject({ url, headers: { authorization: `Bearer ${key}` } })

async function code() {
  const { user, secret } = await one.deps.access.createJoinCode()
  return { user, key: `${user}:${secret}` }
}

async function end(user: string, how: 'used_at' | 'expires_at'): Promise<void> {
  const change = { [how]: new Date(Date.now() - 1_000) }
  await one.deps.db.updateTable('join_codes').set(change).where('id', '=', user).execute()
}

describe('what a machine without the project fetches', () => {
  it('is given for a join code, which reaches nothing else and stays good', async () => {
    const { key } = await code()
    for (const url of [...ROUTES, ...ROUTES]) expect((await get(url, key)).statusCode, url).toBe(200)
    for (const url of ['/api/workers', '/api/cluster/join', '/blobs/models/list.json', '/api/jobs'])
      expect((await get(url, key)).statusCode, url).toBe(403)
    const unknown = [`${key}x`, `${key}:x`, `${key.split(':')[0]}:`, 'join-abcdef-0123456789ab:x']
    for (const wrong of unknown) {
      const answer = await get('/worker/install.sh', wrong)
      expect(answer.statusCode, wrong).toBe(401)
      const stderr = expect.stringMatching(/^sc-worker was not installed: The key is not known here/)
      expect(shell(answer.body), wrong).toEqual({ exitCode: 1, stderr })
    }
    const noCode = await get('/worker/install.sh', key.replace(':', ''))
    expect([noCode.statusCode, noCode.headers['content-type']]).toEqual([
      401,
      'application/problem+json; charset=utf-8'
    ])
    expect(one.lines.join('')).not.toContain(key.split(':')[1])
  })

  it('is not given for a code that was used or is too old, and the shell says so', async () => {
    for (const [how, says] of [
      ['used_at', 'Another worker has used this join code already: make a new one with `sc join`.'],
      ['expires_at', 'This join code is too old: make a new one with `sc join`.']
    ] as const) {
      const { user, key } = await code()
      await end(user, how)
      for (const url of ROUTES) expect((await get(url, key)).statusCode).toBe(403)
      const script = (await get('/worker/install.sh', key)).body
      expect(shell(script)).toEqual({ exitCode: 1, stderr: `sc-worker was not installed: ${says}\n` })
      expect((await get('/worker/worker.tar.gz', key)).json().detail).toBe(says)
    }
  })

  it('has scripts with the code, the addresses and the checksum, which their shells can read', async () => {
    const { key } = await code()
    const { body } = await get('/worker/worker.tar.gz', key)
    expect(body.length).toBeGreaterThan(100_000)
    const archive = (await get('/worker/worker.tar.gz', key)).rawPayload
    const sha256 = createHash('sha256').update(archive).digest('hex')
    const { brokerUrl, masterUrl } = one.deps.place()
    const values = [key, brokerUrl.replace('://', `://${key}@`), masterUrl, sha256]
    for (const url of ROUTES.slice(0, 2)) {
      const script = (await get(url, key)).body
      expect(script).not.toMatch(/'@[A-Z\d]+@'/)
      for (const value of values) expect(script).toContain(`'${value}'`)
    }
    expect(shell((await get('/worker/install.sh', key)).body, ['-n'])).toEqual({ exitCode: 0, stderr: '' })
    expect(await errorsInPowershell((await get('/worker/install.ps1', key)).body)).toEqual([])
    expect(await errorsInPowershell('if (1 -eq {')).not.toEqual([])
    const { alternatives } = await join_()
    const windows = alternatives.find(({ title }) => title.includes('PowerShell'))?.command ?? ''
    expect(await errorsInPowershell(windows)).toEqual([])
  })

  it('asks for what is missing before it takes anything', async () => {
    const script = (await get('/worker/install.sh', (await code()).key)).body
    expect(shell(script, [], { PATH: '/nonexistent' })).toEqual({
      exitCode: 1,
      stderr: expect.stringContaining('it needs Node 20 or later')
    })
  })

  it('is fetched by a container at each start until it has joined, and not after', async () => {
    const { alternatives } = await join_()
    const docker = alternatives.find(({ title }) => title.includes('Docker'))?.command ?? ''
    const inside = /sh -c '(.*)'$/.exec(docker)?.[1] ?? ''
    const home = mkdtempSync(join(tmpdir(), 'sc-container-'))
    const program = (path: string, text: string) => writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 })
    mkdirSync(join(home, 'sc-worker/data/workers/one'), { recursive: true })
    program(join(home, 'curl'), `echo 'echo "fetched $*"'`)
    program(join(home, 'sc-worker/sc-worker'), 'echo "started $*"')
    const starts = () =>
      execFileSync('/bin/sh', ['-c', inside], { env: { HOME: home, PATH: `${home}:${childEnv().PATH}` } }).toString()
    expect(starts()).toBe('fetched --no-start\nstarted run\n')
    writeFileSync(join(home, 'sc-worker/data/workers/one/identity.json'), '{}')
    expect(starts()).toBe('started run\n')
    rmSync(home, { recursive: true })
  })

  it('takes no folder that was not given whole, has other files, or whose worker runs', async () => {
    const script = (await get('/worker/install.sh', (await code()).key)).body
    const path = childEnv().PATH as string
    const ends = (args: string[], env: Record<string, string> = {}) =>
      shell(script, ['-s', '--', ...args], { PATH: path, ...env }).stderr
    for (const args of [['--dir'], ['--name', 'second', '--dir'], ['--dir', ''], ['--dir='], ['--dir', '--no-start']])
      expect(ends(args), args.join(' ')).toMatch(/not installed: after --dir comes the folder/)
    expect(ends([], { HOME: '' })).toMatch(/not installed: HOME is not set. Say where to: --dir FOLDER/)

    const folder = mkdtempSync(join(tmpdir(), 'sc install '))
    const mine = join(folder, 'apps/mine/src/main.c')
    mkdirSync(dirname(mine), { recursive: true })
    writeFileSync(mine, '')
    expect(ends(['--dir', folder])).toMatch(/not installed: .* has other files, which it would replace/)
    expect(existsSync(mine)).toBe(true)

    // Nothing listens for this code: who may go on, gets as far as fetching.
    const worker = join(folder, 'worker')
    const lock = join(worker, 'data/workers/one/lock')
    mkdirSync(dirname(lock), { recursive: true })
    writeFileSync(join(worker, 'sc-worker'), '')
    const startedAt = identityOf(process.pid)?.startedAt
    for (const [held, says] of [
      [`${process.pid} ${startedAt}`, /a worker of .* runs \(process \d+\)\. Stop it/],
      [`${process.pid} 1`, process.platform === 'linux' ? /did not give its files/ : /runs/],
      ['999999999 1', /did not give its files/],
      ['', /did not give its files/]
    ] as const) {
      writeFileSync(lock, held)
      expect(ends([`--dir=${worker}`, '--name', 'one']), held).toMatch(says)
    }
    writeFileSync(join(folder, 'curl'), '#!/bin/sh\ncat >/dev/null; exit 23\n', { mode: 0o755 })
    expect(ends(['--dir', worker], { PATH: `${folder}:${path}` })).toMatch(/worker cannot be written: is the disk full/)
    rmSync(folder, { recursive: true })
  })
})

describe('the packed worker', () => {
  it('has a worker’s files with their modes, and nothing of this machine', async () => {
    const names = await namesIn(await createPackedWorker()())
    expect(names).toContain('sc-worker 755')
    expect(names).toContain('apps/worker/src/main.js 644')
    expect(names).toContain('packages/shared/src/unit.ts 644')
    expect(names).toContain('python-gpu/requirements-cuda.txt 644')
    expect(names.filter(name => /node_modules|\/test\/|__pycache__|\/\.|^apps\/(master|cli)/.test(name))).toEqual([])
  })

  it('is the same bytes each time, and is packed anew after a failure', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'sc-pack-'))
    try {
      const packed = createPackedWorker(folder)
      await expect(packed()).rejects.toThrow('ENOENT')
      for (const name of ['bootstrap', 'apps/worker', 'packages/shared', 'python-gpu'])
        mkdirSync(join(folder, name), { recursive: true })
      for (const name of [
        'LICENSE',
        'package.json',
        'pnpm-lock.yaml',
        'pnpm-workspace.yaml',
        'sc-worker',
        'sc-worker.cmd'
      ])
        writeFileSync(join(folder, name), name)
      const { sha256 } = await packed()
      // As after another checkout of the same.
      utimesSync(join(folder, 'LICENSE'), 1, 1)
      expect((await createPackedWorker(folder)()).sha256).toBe(sha256)
      writeFileSync(join(folder, 'LICENSE'), 'other')
      expect((await createPackedWorker(folder)()).sha256).not.toBe(sha256)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

async function join_() {
  const answer = await one.app.inject({ url: '/api/cluster/join', headers: one.bearer('admin') })
  return answer.json<{ alternatives: Array<{ title: string; command: string }> }>()
}

async function namesIn({ bytes }: { bytes: Buffer }): Promise<string[]> {
  const file = join(one.dir.spool, 'packed.tar.gz')
  writeFileSync(file, bytes)
  const names: string[] = []
  await list({ file, onReadEntry: ({ path, mode = 0 }) => void names.push(`${path} ${(mode & 0o777).toString(8)}`) })
  return names
}

function shell(script: string, args: string[] = [], env: Record<string, string> = {}) {
  try {
    execFileSync('/bin/sh', args, { input: script, stdio: 'pipe', env: { HOME: one.dir.spool, ...env } })
    return { exitCode: 0, stderr: '' }
  } catch (error) {
    const { status, stderr } = error as { status: number; stderr: Buffer }
    return { exitCode: status, stderr: String(stderr) }
  }
}

/** What PowerShell's grammar does not know; there is no PowerShell here. */
async function errorsInPowershell(script: string): Promise<string[]> {
  await Parser.init()
  const parser = new Parser()
  const grammar = createRequire(import.meta.url).resolve('tree-sitter-powershell/tree-sitter-powershell.wasm')
  parser.setLanguage(await Language.load(grammar))
  const errors = (node: Node): string[] =>
    node.isError || node.isMissing ? [node.text] : node.children.flatMap(child => (child ? errors(child) : []))
  const tree = parser.parse(script)
  return tree ? errors(tree.rootNode) : ['not parsed']
}
