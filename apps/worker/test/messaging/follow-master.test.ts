import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { MASTER_KEY, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { expect, test } from 'vitest'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import { followMaster } from '../../src/enrol/master-version.ts'

test('a worker says once that the master is newer, and that it came back with another protocol', async () => {
  const server = await startRedis()
  const redis = connectRedis(server.url, { name: 'test' })
  const lines: string[] = []
  const log = createLog('test', 'info', { write: line => void lines.push(line) })
  const publish = (version: string, protocol = PROTOCOL_VERSION) =>
    redis.hset(MASTER_KEY, { version, protocol: String(protocol) })
  await publish('0.0.1')
  const master = followMaster(redis, log)
  try {
    await publish('99.0.0')
    await expect.poll(() => lines.length).toBe(1)
    expect(lines[0]).toMatch(
      /The master is version 99\.0\.0 and this worker .*To update it: stop it .*`git pull`.* paste a new one/
    )
    // Emptied, and not yet published anew: no reason to stop.
    await redis.del(MASTER_KEY)
    await publish('99.0.1')
    await expect.poll(() => lines.length).toBe(2)
    expect(master.signal.aborted).toBe(false)
    await publish('99.0.1', PROTOCOL_VERSION + 1)
    await expect.poll(() => master.signal.aborted).toBe(true)
    expect(master.signal.reason).toMatchObject({ code: 'SC_PROTOCOL_VERSION', message: /update this worker: stop it/ })
    expect(lines).toHaveLength(2)
  } finally {
    await master.stop()
    await closeRedis(redis)
    await server.stop()
  }
})
