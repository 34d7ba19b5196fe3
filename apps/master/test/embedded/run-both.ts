/** A process of its own that starts both servers, prints their addresses, and stops them on SIGTERM. */
import { createLog } from '@sc/shared/log.ts'
import { startEmbeddedPostgres } from '../../src/embedded/postgres.ts'
import { startEmbeddedRedis } from '../../src/embedded/redis.ts'

const [folder = ''] = process.argv.slice(2)
const options = { dataDir: folder, log: createLog('embedded', 'warn') }
try {
  const redis = await startEmbeddedRedis(options)
  const postgres = await startEmbeddedPostgres(options).catch(async error => {
    await redis.stop()
    throw error
  })
  process.once('SIGTERM', async () => {
    await postgres.stop()
    await redis.stop()
    process.exit(0)
  })
  const forMaster = { redis: redis.masterUrl, postgres: postgres.masterUrl }
  console.log(JSON.stringify({ redis: redis.url, postgres: postgres.url, forMaster }))
  setInterval(() => {}, 60_000)
} catch (error) {
  console.log(JSON.stringify({ error: error instanceof Error ? error.message : String(error) }))
  process.exitCode = 1
}
