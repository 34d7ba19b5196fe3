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

function open(url: string, bare = false): Redis {
  const redis = connectRedis(url, { name: 'test', bare })
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
  const args = ['apps/worker/src/main.ts', 'run', '--name', name, ...(broker ? ['--broker', broker] : [])]
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

/** The answer, or the reason of the refusal. */
const ask = (redis: Redis, ...words: string[]): Promise<unknown> =>
  redis.call(words[0] as string, ...words.slice(1)).catch((error: Error) => error.message)

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
  await expect.poll(async () => await master.call('ACL', 'USERS')).not.toContain(username)
  expect(String(await master.call('ACL', 'GETUSER', workerId))).toContain(
    createHash('sha256').update(secret).digest('hex')
  )
  const second = await worker('other', broker).ended
  expect([second.exitCode, second.stderr]).toEqual([1, expect.stringMatching(/This join code was used already/)])
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

test('a join code may ask to be enrolled, and nothing else', async () => {
  const broker = await code()
  const { username } = new URL(broker)
  const redis = open(broker, true)
  await waitForRedis(redis)
  expect(await ask(redis, 'XADD', 'sc:enrol', '*', 'not', 'a request')).toMatch(/^\d+-\d+$/)
  const own = `sc:enrol:${username}-x`
  expect(await ask(redis, 'BLPOP', own, '0.01')).toBeNull()
  const refused = [...EVERYBODY, ['XRANGE', 'sc:enrol', '-', '+'], ['XADD', 'sc:out:w', '*', 'm', '[]']]
  refused.push(['RPUSH', own, 'x'], ['INFO'], ['GET', own], ['HGETALL', 'sc:master'], ['BLPOP', 'sc:enrol:ask:x', '1'])
  refused.push(['BLPOP', 'sc:enrol:join-other-x', '1'], ['SUBSCRIBE', 'sc:ctl:w'], ['EVAL', 'return 1', '0'])
  for (const words of refused)
    expect(await ask(redis, ...words), words.join(' ')).toMatch(/^NOPERM|command not allowed/)
})

/** Of commands that nobody but the master may give, with or without a key. */
const EVERYBODY: string[][] = [
  ['KEYS', '*'],
  ['SCAN', '0'],
  ['RANDOMKEY'],
  ['DBSIZE'],
  ['FLUSHALL'],
  ['FLUSHDB'],
  ['CONFIG', 'GET', '*'],
  ['CONFIG', 'SET', 'maxmemory', '1'],
  ['ACL', 'LIST'],
  ['ACL', 'WHOAMI'],
  ['ACL', 'SETUSER', 'default', 'on', 'nopass', '~*', '+@all'],
  ['SCRIPT', 'LOAD', 'return 1'],
  ['SCRIPT', 'FLUSH'],
  ['FUNCTION', 'LOAD', '#!lua name=x\nredis.register_function("f", function() return 1 end)'],
  ['FUNCTION', 'FLUSH'],
  ['MODULE', 'LIST'],
  ['MODULE', 'LOAD', '/tmp/x.so'],
  ['DEBUG', 'SLEEP', '0'],
  ['MONITOR'],
  ['SHUTDOWN'],
  ['SAVE'],
  ['BGREWRITEAOF'],
  ['REPLICAOF', '127.0.0.1', '1'],
  ['SWAPDB', '0', '1'],
  ['CLIENT', 'LIST'],
  ['CLIENT', 'KILL', 'TYPE', 'normal'],
  ['CLIENT', 'TRACKING', 'ON', 'BCAST'],
  ['SLOWLOG', 'GET'],
  ['LATENCY', 'LATEST'],
  ['PUBSUB', 'CHANNELS'],
  ['PUBLISH', 'sc:ctl:w', '{"type":"drain"}'],
  ['MIGRATE', '127.0.0.1', '1', 'sc:master', '0', '1'],
  ['SORT', 'sc:master'],
  ['GET', 'anything']
]

test('a worker reaches what is its own, and nothing else', async () => {
  const { process, identity, url } = await joined('thief')
  const other = (await rowOf('worker-1'))?.id as string
  const redis = open(url)
  await waitForRedis(redis)
  const own = identity.workerId
  expect(await ask(redis, 'HGET', 'sc:master', 'protocol')).toMatch(/^\d+$/)
  expect(await ask(redis, 'EXISTS', 'sc:q:cpu:marker', `sc:out:${own}`)).toEqual(expect.any(Number))
  const refused = [
    ...EVERYBODY,
    // Other queues, of units and of the masters.
    ...['gpu', 'gpu.vram6', 'llm', 'cpu+unregistered', 'plan', 'merge', 'webhook'].flatMap(queue => [
      ['LRANGE', `sc:q:${queue}:wait`, '0', '-1'],
      ['HGETALL', `sc:q:${queue}:1`],
      ['BZPOPMIN', `sc:q:${queue}:marker`, '0.01'],
      ['EVAL', 'return redis.call("DEL", KEYS[1])', '1', `sc:q:${queue}:wait`]
    ]),
    // What others say of themselves and of their attempts, and what they are told.
    ['XADD', `sc:out:${other}`, '*', 'm', '[]'],
    ['XRANGE', `sc:out:${other}`, '-', '+'],
    ['GET', `sc:presence:${other}`],
    ['SET', `sc:presence:${other}`, '{}'],
    ['SUBSCRIBE', `sc:ctl:${other}`],
    ['PSUBSCRIBE', 'sc:ctl:*'],
    ['PUBLISH', `sc:ctl:${own}`, '{}'],
    // The master's address, by which others would send their keys elsewhere.
    ['HSET', 'sc:master', 'httpUrl', 'http://127.0.0.1:1'],
    // Other ways in.
    ['XRANGE', 'sc:enrol', '-', '+'],
    ['SET', 'sc:enrol:ask:x', '1'],
    ['BLPOP', `sc:enrol:${other}-x`, '0.01'],
    // The same within a script.
    ['EVAL', 'return redis.call("KEYS", "*")', '0'],
    ['EVAL', 'return redis.call("GET", "sc:presence:x")', '0'],
    ['EVAL', 'return redis.call("PUBLISH", "sc:ctl:x", "y")', '0']
  ]
  for (const words of refused)
    expect(await ask(redis, ...words), words.join(' ')).toMatch(/NOPERM|ACL failure|can't access|command not allowed/)
  await process.stop()
})

test('a worker cannot be enrolled as another one, nor end its login', async () => {
  const { process, url } = await joined('forger')
  const victim = await joined('victim')
  const redis = open(url)
  const fields = { name: 'x', hostname: 'x', protocol: '4', classes: 'cpu,gpu' }
  const id = victim.identity.workerId
  for (const replyTo of [`${id}-aaaaaaaa`, 'aaaaaaaa-bbbb'])
    for (const proof of ['', 'wrong'])
      await redis.xadd('sc:enrol', '*', ...Object.entries({ ...fields, replyTo, workerId: id, proof }).flat())
  await until('all are read', 10_000, async () => (await master.xlen('sc:enrol')) === 0)
  for (const replyTo of [`${id}-aaaaaaaa`, 'aaaaaaaa-bbbb'])
    for (const reply of await master.lrange(`sc:enrol:${replyTo}`, 0, -1)) expect(reply).toMatch(/SC_FORBIDDEN/)
  await waitForRedis(open(victim.url))
  expect(String(await master.call('ACL', 'GETUSER', id))).not.toContain('sc:q:gpu')
  await Promise.all([process.stop(), victim.process.stop()])
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
