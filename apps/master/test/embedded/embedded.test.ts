import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'
import pg from 'pg'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { startEmbeddedRedis } from '../../src/embedded/redis.ts'
import { processesBelow } from '../processes-below.ts'

/** Each test runs the servers under a process of its own, which it can kill. */
interface Running extends Urls {
  /** What their master goes by. */
  forMaster: Urls
  process: ChildProcess
}

interface Urls {
  redis: string
  postgres: string
}

const isRoot = process.getuid?.() === 0
const NOBODY = 65_534
/** Below /root an ordinary user cannot run the project at all. */
const nobodyCanRunUs =
  isRoot && spawnSync(process.execPath, ['--version'], { uid: NOBODY, gid: NOBODY, cwd: '/' }).status === 0
const folders: string[] = []
const processes: ChildProcess[] = []

afterEach(async () => {
  for (const child of processes.splice(0)) await end(child, 'SIGTERM')
  for (const folder of folders.splice(0)) {
    expect(processesBelow(folder), 'no process is left').toEqual([])
    rmSync(folder, { recursive: true, force: true })
  }
})

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'sc-embedded-'))
  folders.push(folder)
  return folder
}

async function start(folder: string, user?: { uid: number; gid: number }): Promise<Running> {
  const answer = await startOrFail(folder, user)
  if (answer.error !== undefined) throw new Error(answer.error)
  const { redis = '', postgres = '', forMaster = { redis, postgres } } = answer
  return { redis, postgres, forMaster, process: answer.process }
}

async function startOrFail(folder: string, user: { uid: number; gid: number } | undefined) {
  const program = join(import.meta.dirname, 'run-both.ts')
  const child = spawn(process.execPath, [program, folder], { stdio: ['ignore', 'pipe', 'inherit'], ...user })
  processes.push(child)
  const [line] = await once(createInterface(child.stdout), 'line')
  const answer = JSON.parse(line as string) as Partial<Urls> & { forMaster?: Urls; error?: string }
  return { ...answer, process: child }
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  await exited
}

function socketOf(postgres: string): string {
  return `.s.PGSQL.${new URL(postgres).port}`
}

async function write(running: Urls, text: string): Promise<void> {
  await withBoth(running, async (redis, database) => {
    await redis.set('kept', text)
    await database.query('create table if not exists kept (text text)')
    await database.query('insert into kept values ($1)', [text])
  })
}

async function read(running: Urls): Promise<{ redis: string | null; postgres: string[] }> {
  return withBoth(running, async (redis, database) => ({
    redis: await redis.get('kept'),
    postgres: (await database.query('select text from kept order by text')).rows.map(row => row.text)
  }))
}

async function withBoth<T>(
  running: Urls,
  step: (redis: ReturnType<typeof connectRedis>, database: pg.Client) => Promise<T>
): Promise<T> {
  const redis = connectRedis(running.redis, { name: 'test' })
  const database = new pg.Client(running.postgres)
  await Promise.all([waitForRedis(redis), database.connect()])
  return step(redis, database).finally(() => Promise.all([closeRedis(redis), database.end()]))
}

/** Local addresses of every listening socket of this machine, by port. */
function listening(): Map<number, string[]> {
  const found = new Map<number, string[]>()
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6'])
    for (const line of existsSync(table) ? readFileSync(table, 'utf8').split('\n').slice(1) : []) {
      const [, local = '', , state] = line.trim().split(/\s+/)
      const [address = '', port = ''] = local.split(':')
      if (state === '0A')
        found.set(Number.parseInt(port, 16), [...(found.get(Number.parseInt(port, 16)) ?? []), address])
    }
  return found
}

const portOf = (url: string) => Number(new URL(url).port)

describe('embedded Redis and PostgreSQL', { timeout: 60_000 }, () => {
  test('keep their data and addresses over a restart, leave no process, show no password', async () => {
    const folder = newFolder()
    const first = await start(folder)
    await write(first, 'one')
    for (const line of processesBelow(folder)) {
      expect(line).not.toContain(new URL(first.redis).password)
      expect(line).not.toContain(new URL(first.postgres).password)
    }
    expect(statSync(join(folder, 'redis/redis.conf')).mode & 0o777).toBe(0o600)
    expect(statSync(join(folder, 'postgres')).mode & 0o777).toBe(0o700)
    await end(first.process, 'SIGTERM')
    expect(processesBelow(folder)).toEqual([])
    const second = await start(folder)
    expect([second.redis, second.postgres]).toEqual([first.redis, first.postgres])
    expect(await read(second)).toEqual({ redis: 'one', postgres: ['one'] })
  })

  test('listen on loopback only, and answer only who knows the password', async () => {
    const running = await start(newFolder())
    const sockets = listening()
    for (const url of [running.redis, running.postgres]) expect(sockets.get(portOf(url))).toEqual(['0100007F'])
    const wrong = (url: string) => url.replace(new URL(url).password, 'wrong')
    await expect(new pg.Client(wrong(running.postgres)).connect()).rejects.toThrow(/password authentication failed/)
    const redis = connectRedis(wrong(running.redis), { name: 'test' })
    await expect(waitForRedis(redis)).rejects.toMatchObject({ code: 'SC_CONFIG' })
    redis.disconnect()
  })

  test('their master goes by sockets that nobody else can open, with the same password', async () => {
    const folder = newFolder()
    const { forMaster, ...running } = await start(folder)
    await write(running, 'kept')
    expect(await read(forMaster)).toEqual({ redis: 'kept', postgres: ['kept'] })
    const sockets = [join(folder, 'redis/redis.sock'), join(folder, 'postgres/cluster', socketOf(running.postgres))]
    expect(sockets.map(path => statSync(path).isSocket())).toEqual([true, true])
    expect(sockets.map(path => statSync(dirname(path)).mode & 0o077)).toEqual([0, 0])
    await expect(read({ ...forMaster, postgres: forMaster.postgres.replace(/:[^:@]+@/, ':guessed@') })).rejects.toThrow(
      /password/
    )
  })

  test('it goes by TCP where the path of a socket would be too long', async () => {
    const { forMaster, redis, postgres } = await start(join(newFolder(), 'x'.repeat(100)))
    expect(forMaster).toEqual({ redis, postgres })
    await write(forMaster, 'kept')
    expect(await read(forMaster)).toEqual({ redis: 'kept', postgres: ['kept'] })
  })

  test('are ended when their master is killed, and the next start goes on with the data', async () => {
    const folder = newFolder()
    const first = await start(folder)
    await write(first, 'one')
    await end(first.process, 'SIGKILL')
    await vi.waitFor(() => expect(processesBelow(folder)).toEqual([]), { timeout: 10_000, interval: 50 })
    expect(await read(await start(folder))).toMatchObject({ postgres: ['one'] })
  })

  test('are ended by the next start when even their watchers were killed', async () => {
    const folder = newFolder()
    const first = await start(folder)
    await write(first, 'one')
    const before = processesBelow(folder).map(line => line.split(' ')[0])
    const watchers = readdirSync('/proc').filter(pid => {
      const command = existsSync(`/proc/${pid}/cmdline`) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0') : []
      return command.includes('sc-watch') && command.some(part => before.includes(part))
    })
    expect(watchers).toHaveLength(2)
    for (const pid of watchers) process.kill(Number(pid), 'SIGKILL')
    await end(first.process, 'SIGKILL')
    expect(processesBelow(folder).length).toBeGreaterThan(0)
    const second = await start(folder)
    expect(await read(second)).toEqual({ redis: 'one', postgres: ['one'] })
    const after = processesBelow(folder).map(line => line.split(' ')[0])
    expect(after.filter(pid => before.includes(pid))).toEqual([])
  })

  test('are started again when they die', async () => {
    const folder = newFolder()
    const running = await start(folder)
    await write(running, 'one')
    for (const server of ['redis', 'postgres']) {
      const { server: identity } = JSON.parse(readFileSync(join(folder, server, 'owner.json'), 'utf8'))
      process.kill(identity.pid, 'SIGKILL')
    }
    await vi.waitFor(async () => expect(await read(running)).toMatchObject({ postgres: ['one'] }), {
      timeout: 20_000,
      interval: 100
    })
  })

  test('two data folders at once do not meet, and one folder has one master', async () => {
    const [one, two] = [newFolder(), newFolder()]
    const [first, second] = await Promise.all([start(one), start(two)])
    await Promise.all([write(first, 'one'), write(second, 'two')])
    expect((await read(first)).postgres).toEqual(['one'])
    expect((await read(second)).postgres).toEqual(['two'])
    const third = await startOrFail(one, undefined)
    expect(third.error).toContain(`in use by process ${first.process.pid}`)
    expect((await read(first)).postgres).toEqual(['one'])
  })

  test('take another port when theirs was taken in between', async () => {
    const folder = newFolder()
    const first = await start(folder)
    await end(first.process, 'SIGTERM')
    const squatters = [first.redis, first.postgres].map(url => createServer().listen(portOf(url), '127.0.0.1'))
    await Promise.all(squatters.map(server => once(server, 'listening')))
    try {
      const second = await start(folder)
      expect(portOf(second.redis)).not.toBe(portOf(first.redis))
      expect(portOf(second.postgres)).not.toBe(portOf(first.postgres))
      await write(second, 'two')
    } finally {
      for (const server of squatters) server.close()
    }
  })

  test('an unreadable Redis file costs Redis its data, not the start', async () => {
    const folder = newFolder()
    const first = await start(folder)
    await write(first, 'one')
    await end(first.process, 'SIGTERM')
    const data = join(folder, 'redis/data')
    for (const file of readdirSync(data, { recursive: true, encoding: 'utf8' }))
      if (file.endsWith('.aof')) cpSync('/proc/version', join(data, file))
    expect(await read(await start(folder))).toEqual({ redis: null, postgres: ['one'] })
  })

  test.runIf(isRoot)('run for root below a folder that only root may enter', async () => {
    const folder = newFolder()
    chmodSync(folder, 0o700)
    const running = await start(join(folder, 'data'))
    await write(running, 'one')
    expect(await read(running)).toEqual({ redis: 'one', postgres: ['one'] })
    const owners = processesBelow(folder).map(line => statSync(`/proc/${line.split(' ')[0]}`).uid)
    expect(owners.some(uid => uid !== 0)).toBe(true)
  })

  test.runIf(nobodyCanRunUs)('run for an ordinary user', async () => {
    const folder = newFolder()
    mkdirSync(join(folder, 'data'))
    for (const path of [folder, join(folder, 'data')]) chownSync(path, NOBODY, NOBODY)
    const running = await start(join(folder, 'data'), { uid: NOBODY, gid: NOBODY })
    await write(running, 'one')
    expect(await read(running)).toEqual({ redis: 'one', postgres: ['one'] })
  })

  test('Redis has HELLO only where it is asked for, and keeps its data', async () => {
    const server = await startEmbeddedRedis({ dataDir: newFolder(), log: createLog('embedded', 'error') })
    const redis = connectRedis(server.url, { name: 'test' })
    try {
      await waitForRedis(redis)
      await redis.set('kept', 'yes')
      // What is older than a second is on the disk.
      await redis.call('WAITAOF', 1, 0, 2_000)
      await expect(redis.call('HELLO', '2')).rejects.toThrow(/unknown command/)
      server.allowHello()
      await vi.waitFor(async () => expect(await redis.call('HELLO', '2')).toContain('proto'), 10_000)
      expect(await redis.get('kept')).toBe('yes')
    } finally {
      await closeRedis(redis)
      await server.stop()
    }
  })
})
