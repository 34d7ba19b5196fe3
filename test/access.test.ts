import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { childEnv, REPO_DIR } from '@sc/shared/config.ts'
import { dataDir, readFileIfAny, readMasterFile } from '@sc/shared/data-dir.ts'
import { closeRedis, connectRedis, type Redis, waitForRedis } from '@sc/shared/redis.ts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Cluster, startCluster, until } from './cluster.ts'

/** What a real worker's and a real join code's login may do, on a real cluster; and how each ends. */

let cluster: Cluster
let master: Redis
const elsewhere = mkdtempSync(join(tmpdir(), 'sc-elsewhere-'))
const opened: Redis[] = []

beforeAll(async () => {
  cluster = await startCluster({ workers: 0, tasksDir: true })
  copyFileSync(join(import.meta.dirname, 'fixtures/waits.py'), join(cluster.folder, 'tasks/waits.py'))
  await cluster.startWorker('worker-1')
  master = open(masterUrl())
})
afterAll(async () => {
  await Promise.all(opened.map(closeRedis))
  await cluster.stop()
  rmSync(elsewhere, { recursive: true, force: true })
})

const masterUrl = (): string => readMasterFile(dataDir(join(cluster.folder, 'data')))?.redisUrl ?? ''

function open(url: string, restricted = true): Redis {
  const redis = connectRedis(url, { name: 'test', restricted })
  opened.push(redis)
  return redis
}

const code = async (): Promise<string> =>
  (await cluster.json<{ command: string }>('/api/cluster/join-codes', { method: 'POST' })).command
    .split(' ')
    .at(-1) as string

const identityOf = (name: string) =>
  JSON.parse(readFileIfAny(join(dataDir(elsewhere).worker(name), 'identity.json')) ?? '{}') as {
    workerId: string
    broker: string
    secret: string
    key: string
  }

/** A worker of another machine: all it is given is the broker. */
function worker(name: string, broker?: string) {
  const args = ['apps/worker/src/main.js', 'run', '--name', name, ...(broker ? ['--broker', broker] : [])]
  const env = childEnv({ SC_DATA_DIR: elsewhere, LOG_LEVEL: 'info', SC_TASKS_DIR: join(cluster.folder, 'tasks') })
  const child = spawn(process.execPath, args, { cwd: REPO_DIR, env, stdio: ['ignore', 'ignore', 'pipe'] })
  const stderr = text(child.stderr)
  const ended = once(child, 'exit').then(async ([exitCode]) => ({ exitCode: exitCode as number, stderr: await stderr }))
  const stop = (): typeof ended => {
    child.kill('SIGINT')
    return ended
  }
  return { child, ended, stop }
}

async function rowOf(name: string): Promise<{ id: string; status: string; queues: string[] } | undefined> {
  const { items } = await cluster.json<{
    items: Array<{ id: string; name: string; status: string; queues: string[] }>
  }>('/api/workers')
  return items.find(item => item.name === name)
}

const online = (name: string) =>
  until(`${name} is online`, 60_000, async () => {
    const row = await rowOf(name)
    return row?.status === 'online' && row.queues.includes('cpu')
  })

async function joined(name: string) {
  const process = worker(name, await code())
  await online(name)
  const identity = identityOf(name)
  const url = new URL(identity.broker)
  url.username = identity.workerId
  url.password = identity.secret
  return { process, identity, url: url.href }
}

test('the default user is off, and no secret is in clear with the users', async () => {
  const { host } = new URL(masterUrl())
  for (const login of ['', ':wrong@', 'default:wrong@', 'w-00000000-0000:x@'])
    await expect(waitForRedis(open(`redis://${login}${host}`), { timeoutMs: 5_000 })).rejects.toThrow(
      /NOAUTH|WRONGPASS/
    )
  const users = String(await master.call('ACL', 'LIST'))
  expect(users).toMatch(/user default off/)
  expect(users).not.toContain(new URL(masterUrl()).password)
})

test('a code lets one worker in, which keeps its identity and needs no flag any more', async () => {
  const broker = await code()
  const { username } = new URL(broker)
  const first = worker('code', broker)
  await online('code')
  const { workerId, secret } = identityOf('code')
  const file = join(dataDir(elsewhere).worker('code'), 'identity.json')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(String(await master.call('ACL', 'GETUSER', workerId))).toContain(
    createHash('sha256').update(secret).digest('hex')
  )
  const second = await worker('other', broker).ended
  expect([second.exitCode, second.stderr]).toEqual([
    1,
    expect.stringMatching(/This join code was used already|has used this join code already/)
  ])
  await expect.poll(async () => await master.call('ACL', 'USERS'), { timeout: 20_000 }).not.toContain(username)
  expect(await master.exists(`sc:enrol:ask:${username}`, `sc:enrol:answer:${username}`)).toBe(0)
  await first.stop()
  await until('it is off', 20_000, async () => (await rowOf('code'))?.status === 'offline')
  for (const again of [undefined, broker]) {
    const later = worker('code', again)
    await online('code')
    expect((await rowOf('code'))?.id).toBe(workerId)
    expect(await later.stop()).toMatchObject({ exitCode: 130 })
    await until('it is off', 20_000, async () => (await rowOf('code'))?.status === 'offline')
  }
})

test('a code that is too old says so', async () => {
  const { host } = new URL(masterUrl())
  const old = `join-${Math.floor(Date.now() / 1000 - 60).toString(36)}-0123456789ab`
  const refused = await worker('late', `redis://${old}:secret@${host}`).ended
  expect([refused.exitCode, refused.stderr]).toEqual([1, expect.stringMatching(/This join code was good until/)])
})

/** What a connection needs, of everybody. */
const CONNECTION = ['auth', 'client|id', 'quit']

/** Each command that the server knows, subcommands too, with the fewest arguments that it takes. */
async function commands(): Promise<Array<{ name: string; words: string[]; count: number }>> {
  const all = (await master.call('COMMAND')) as Array<[name: string, arity: number, ...rest: unknown[]]>
  return all.flatMap(([name, arity, ...rest]) => {
    const nested = rest.at(-1)
    const own = { name, words: [name], count: Math.abs(arity) - 1 }
    const subcommands = (Array.isArray(nested) ? nested : []) as Array<[string, number]>
    return [own, ...subcommands.map(([sub, n]) => ({ name: sub, words: sub.split('|'), count: Math.abs(n) - 2 }))]
  })
}

/** What the user may do with any of these keys: `command key`, or `command` alone where no key counts. */
async function allowed(user: string, keys: string[]): Promise<Set<string>> {
  const may = new Set<string>()
  const dryRun = (...words: string[]) => master.call('ACL', 'DRYRUN', user, ...words).catch(() => 'refused')
  for (const { name, words, count } of await commands())
    await Promise.all(
      keys.flatMap(key => {
        const plain = [Array(Math.max(0, count)).fill(key), ['1', key], ['x', '1', key]]
        // In another form these have no key at all.
        const numbered = [['1', '1', key, 'LEFT']]
        const forms = /^x(read|readgroup)$/.test(name)
          ? [['STREAMS', key, '0']]
          : /^blmpop$/.test(name)
            ? numbered
            : plain
        return forms.map(async form => {
          if ((await dryRun(...words, ...form)) === 'OK') may.add(CONNECTION.includes(name) ? name : `${name} ${key}`)
        })
      })
    )
  return may
}

test('of all commands that Redis has, a worker and a join code may give the few that they need, on their own keys', async () => {
  const { process, identity } = await joined('thief')
  const own = identity.workerId
  const other = (await rowOf('worker-1'))?.id as string
  const broker = await code()
  const { username } = new URL(broker)
  const keysOf = (id: string) => [`sc:in:${id}`, `sc:out:${id}`, `sc:presence:${id}`]
  const others = [
    'sc:master',
    'sc:enrol:askers',
    `sc:lease:${own}`,
    'sc:q:cpu:wait',
    'sc:q:cpu:meta',
    'sc:q:plan:wait',
    'x'
  ]
  const enrol = (id: string) => [`sc:enrol:ask:${id}`, `sc:enrol:answer:${id}`]
  const keys = [...keysOf(own), ...keysOf(other), ...others, ...enrol(username), ...enrol('join-other-x')]
  const ofWorker = [`blmpop sc:in:${own}`, `xadd sc:out:${own}`, `set sc:presence:${own}`]
  const without = (may: Set<string>) => [...may].filter(name => !CONNECTION.includes(name)).sort()
  expect(without(await allowed(own, keys))).toEqual(ofWorker.sort())
  expect(without(await allowed(username, keys))).toEqual([
    `get sc:enrol:answer:${username}`,
    `set sc:enrol:ask:${username}`
  ])
  // Nothing that reads what is set, and no channel.
  for (const words of [
    ['SET', `sc:presence:${own}`, 'x', 'GET'],
    ['PUBLISH', 'sc:queued', 'cpu'],
    ['SUBSCRIBE', 'sc:queued'],
    ['EVAL', 'return 1', '0'],
    ['BLMPOP', '1', '2', `sc:in:${own}`, `sc:in:${other}`, 'LEFT'],
    ['PING', 'x'],
    ['CLIENT', 'SETNAME', 'x']
  ])
    expect(await master.call('ACL', 'DRYRUN', own, ...words), words.join(' ')).toMatch(/no permissions|can't run/i)
  await process.stop()
})

test('one command of more than 4 MB ends its connection, and nothing else', async () => {
  const { process, identity, url } = await joined('large')
  const redis = open(url)
  await waitForRedis(redis)
  const refused = redis.xadd(`sc:out:${identity.workerId}`, '*', 'm', 'x'.repeat(5 * 1024 ** 2))
  await Promise.race([
    expect(refused).rejects.toThrow(),
    until('the connection ended', 10_000, async () => redis.status !== 'ready')
  ])
  expect(await master.xlen(`sc:out:${identity.workerId}`)).toBeLessThan(100)
  await online('large')
  await process.stop()
})

test('users outlive the end of Redis', async () => {
  const { process, url } = await joined('lasting')
  const pid = /process_id:(\d+)/.exec(await master.info('server'))?.[1]
  globalThis.process.kill(Number(pid), 'SIGKILL')
  await waitForRedis(open(url), { timeoutMs: 20_000 })
  await master.call('ACL', 'DELUSER', identityOf('lasting').workerId)
  await master.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'no')
  // Nobody told it that it was revoked: PostgreSQL knows that it was not.
  await until('the user is back', 20_000, async () =>
    String(await master.call('ACL', 'USERS').catch(() => '')).includes(identityOf('lasting').workerId)
  )
  await online('lasting')
  expect(process.child.exitCode).toBeNull()
  await process.stop()
})

test('what a revoked worker ran runs elsewhere', async () => {
  const { process, identity } = await joined('runner')
  const other = (await rowOf('worker-1'))?.id as string
  const tell = (order: string) => cluster.json(`/api/workers/${other}/${order}`, { method: 'POST' })
  const unit = async (jobId: string) =>
    (await cluster.json<{ items: Array<{ status: string; workerId: string }> }>(`/api/jobs/${jobId}/units`)).items[0]
  await tell('drain')
  const { jobId } = await cluster.json<{ jobId: string }>('/api/tasks/wait-none', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ input: { ms: 5_000 } })
  })
  // In a queue that follows from a task which the worker registered.
  await until('it runs there', 20_000, async () => (await unit(jobId))?.workerId === identity.workerId)
  await tell('resume')
  await cluster.api(`/api/workers/${identity.workerId}`, { method: 'DELETE' })
  await until('it is done', 60_000, async () => (await unit(jobId))?.status === 'DONE')
  expect((await unit(jobId))?.workerId).toBe(other)
  expect((await process.ended).exitCode).toBe(1)
})

test('revoking ends a worker that is connected, at once and for good', async () => {
  const { process, identity, url } = await joined('stolen')
  const thief = open(url)
  await waitForRedis(thief)
  const id = identity.workerId
  expect((await cluster.api(`/api/workers/${id}`, { method: 'DELETE' })).status).toBe(200)
  await expect(waitForRedis(open(url), { timeoutMs: 5_000 })).rejects.toThrow(/WRONGPASS/)
  await until('its connection is gone', 5_000, async () => thief.status !== 'ready')
  const blob = await fetch(`${cluster.url}/blobs/units/x`, { headers: { authorization: `Bearer ${identity.key}` } })
  expect(blob.status).toBe(401)
  await expect.poll(async () => await rowOf('stolen')).toBeUndefined()
  await until('its process is gone', 5_000, async () => process.child.exitCode !== null)
  const ended = await process.ended
  expect([ended.exitCode, ended.stderr]).toEqual([1, expect.stringMatching(/This worker was revoked/)])
  const again = await worker('stolen').ended
  expect([again.exitCode, again.stderr]).toEqual([1, expect.stringMatching(/This worker was revoked/)])
  expect((await cluster.api('/api/workers/none', { method: 'DELETE' })).status).toBe(404)
  // With a new code it is let in, as another one.
  const anew = worker('stolen', await code())
  await online('stolen')
  expect((await rowOf('stolen'))?.id).not.toBe(id)
  await anew.stop()
})
