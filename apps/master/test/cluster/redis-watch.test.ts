import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, type Redis, waitForRedis } from '@sc/shared/redis.ts'
import { createReleasers, type Releasers } from '@sc/shared/releasers.ts'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type RedisWatch, startRedisWatch } from '../../src/cluster/redis-watch.ts'
import { type EmbeddedRedis, startEmbeddedRedis } from '../../src/embedded/redis.ts'
import { type MasterProcess, startMasterProcess } from '../master-process.ts'

const WAIT = { timeout: 30_000, interval: 50 }
const log = createLog('test', 'silent')

describe('the watch of Redis', { timeout: 60_000 }, () => {
  let releasers: Releasers
  let server: EmbeddedRedis
  let redis: Redis
  let folder: string

  beforeEach(async () => {
    releasers = createReleasers()
    folder = mkdtempSync(join(tmpdir(), 'sc-watch-'))
    releasers.add('folder', () => rmSync(folder, { recursive: true, force: true }))
    server = await startEmbeddedRedis({ dataDir: folder, log })
    releasers.add('server', () => server.stop())
    redis = connectRedis(server.url, { name: 'test' })
    releasers.add('redis', () => closeRedis(redis))
    await waitForRedis(redis)
  })
  afterEach(() => releasers.release())

  function watch(isOurs = true): RedisWatch {
    const restart = isOurs ? server.restart : undefined
    const started = startRedisWatch({ redisUrl: server.url, log, restart, hungTicks: 3 })
    releasers.add('watch', () => started.stop())
    return started
  }
  const pid = (): number => JSON.parse(readFileSync(join(folder, 'redis/owner.json'), 'utf8')).server.pid
  const checksOf = (watched: RedisWatch) => watched.findings().map(({ check, status }) => `${check} ${status}`)
  /** On a connection of its own: others are to wait no longer than Redis makes them. */
  function runScript(script: string): Promise<string> {
    const other = connectRedis(server.url, { name: 'other', bare: true })
    // It would send the script again to the server that comes next.
    other.once('close', () => other.disconnect())
    releasers.add('other', () => other.disconnect())
    return other.eval(script, 0).then(String, (error: Error) => error.message)
  }

  test('ends a script that does not end', async () => {
    const watched = watch()
    const before = pid()
    expect(await runScript('while true do end')).toMatch(/killed/i)
    await redis.set('kept', 'on')
    await vi.waitFor(() => expect(checksOf(watched)).toEqual(['redis: mended warning']), WAIT)
    expect([watched.trouble(), pid()]).toEqual([null, before])
  })

  test('starts its own server again when the script has written, with its data', async () => {
    await redis.set('kept', 'before')
    await redis.call('WAITAOF', '1', '0', '5000')
    const watched = watch()
    const before = pid()
    void runScript("redis.call('set', 'half', 1) while true do end")
    await vi.waitFor(() => expect(pid()).not.toBe(before), WAIT)
    expect([await redis.get('kept'), await redis.get('half')]).toEqual(['before', null])
    await vi.waitFor(() => expect(checksOf(watched)).toEqual(['redis: mended warning']), WAIT)
    expect(watched.trouble()).toBeNull()
  })

  test.each([
    ['frozen', () => process.kill(pid(), 'SIGSTOP')],
    ['told to make everybody wait', () => redis.client('PAUSE', 600_000, 'ALL')],
    ['told to let nobody write', () => redis.client('PAUSE', 600_000, 'WRITE')]
  ])('starts its own server again that is %s', async (_what, hang) => {
    const watched = watch()
    await vi.waitFor(async () => expect(await redis.exists('sc:watch')).toBe(1), WAIT)
    const before = pid()
    await hang()
    await vi.waitFor(() => expect(pid()).not.toBe(before), WAIT)
    await redis.set('kept', 'on')
    await vi.waitFor(() => expect(checksOf(watched)).toEqual(['redis: mended warning']), WAIT)
  })

  test('names the trouble of a server that is not its own, until it works again', async () => {
    const watched = watch(false)
    const server = pid()
    process.kill(server, 'SIGSTOP')
    await vi
      .waitFor(() => expect(watched.trouble()).toMatch(/did not answer/), WAIT)
      .finally(() => process.kill(server, 'SIGCONT'))
    expect(watched.findings()[0]).toMatchObject({ check: 'redis: work', status: 'failed', next: /kill -9/ })
    await vi.waitFor(() => expect(watched.findings()).toEqual([]), WAIT)
    expect(pid()).toBe(server)
  })

  test('names what fills the memory, until there is room', async () => {
    const watched = watch()
    // One value may have 4 MB.
    const junk = Array.from({ length: 6 }, (_, at) => `junk-${at}`)
    for (const key of junk) await redis.set(key, 'x'.repeat(3 * 1024 ** 2))
    await redis.config('SET', 'maxmemory', 16 * 1024 ** 2)
    await vi.waitFor(() => expect(watched.trouble()).toMatch(/memory is full: .* junk-\d \(\d+ MB\)/), WAIT)
    expect(checksOf(watched)).toEqual(['redis: work failed'])
    const used = Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])
    await redis.config('SET', 'maxmemory', Math.round(used * 1.12))
    await vi.waitFor(() => expect(checksOf(watched)).toEqual(['redis: memory warning']), WAIT)
    await redis.del(...junk)
    await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
    await vi.waitFor(() => expect(checksOf(watched)).toEqual(['redis: eviction warning']), WAIT)
    await redis.config('SET', 'maxmemory-policy', 'noeviction')
    await vi.waitFor(() => expect(watched.findings()).toEqual([]), WAIT)
  })
})

describe('a master', { timeout: 90_000 }, () => {
  let master: MasterProcess
  afterEach(() => master.remove())

  test('mends its Redis and its queues, is not ready while it cannot, and says so', async () => {
    master = await startMasterProcess()
    const isReady = async () => (await fetch(`${master.url}/readyz`)).status
    expect(await isReady()).toBe(200)
    const redis = connectRedis(master.redisUrl, { name: 'test', bare: true })
    const script = redis.eval('while true do end', 0).catch((error: Error) => error.message)
    expect(await script).toMatch(/killed/i)
    redis.disconnect()
    await vi.waitFor(async () => expect(await isReady()).toBe(200), WAIT)
    const doctor = async (check: string) => {
      const { items } = (await (await master.fetch('/api/cluster/doctor')).json()) as { items: { check: string }[] }
      return items.find(item => item.check === check)
    }
    expect(await doctor('redis: mended')).toMatchObject({ found: /a script did not end/, next: /ACL LIST/ })
    const after = connectRedis(master.redisUrl, { name: 'test' })
    await after.hset('sc:q:merge:meta', 'paused', 1)
    await vi.waitFor(async () => expect(await doctor('queue merge')).toMatchObject({ found: /meta had paused/ }), WAIT)
    expect(await after.hexists('sc:q:merge:meta', 'paused')).toBe(0)
    // It answers, and can be written to no more.
    await after.config('SET', 'maxmemory', '1mb')
    await vi.waitFor(async () => expect(await isReady()).toBe(503), WAIT)
    expect(await doctor('redis: work')).toMatchObject({ status: 'failed', found: /memory is full/ })
    await after.config('SET', 'maxmemory', '256mb')
    await vi.waitFor(async () => expect(await isReady()).toBe(200), WAIT)
    await closeRedis(after)
  })
})
