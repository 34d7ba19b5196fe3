import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '@sc/shared/log.ts'
import pg from 'pg'
import { inject } from 'vitest'
import { startEmbeddedRedis } from '../src/embedded/redis.ts'

export const TEMPLATE = 'sc_template'

/** A database of its own, as after every migration; for one test file. */
export async function createTestDatabase(): Promise<{ url: string; drop(): Promise<void> }> {
  const server = inject('postgresUrl')
  const name = `test_${randomBytes(6).toString('hex')}`
  await asAdmin(server, `create database ${name} template ${TEMPLATE}`)
  return {
    url: server.replace(/\/postgres$/, `/${name}`),
    drop: () => asAdmin(server, `drop database ${name} with (force)`)
  }
}

/** A Redis server of its own: pub/sub and the fixed key prefix leave no room for two test files in one. */
export async function createTestRedis(): Promise<{ url: string; stop(): Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'sc-test-redis-'))
  const redis = await startEmbeddedRedis({ dataDir: folder, log: createLog('test', 'warn') })
  return {
    url: redis.url,
    async stop() {
      await redis.stop()
      rmSync(folder, { recursive: true, force: true })
    }
  }
}

async function asAdmin(url: string, statement: string): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  await client.query(statement).finally(() => client.end())
}
