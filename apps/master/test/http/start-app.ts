import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '@sc/shared/config.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import type { Scope } from '../../src/database/schema.ts'
import { createKey } from '../../src/http/key-rows.ts'
import { createTestDatabase, createTestRedis } from '../database.ts'
import { createDoor } from './door.ts'
import { openApp } from './open-app.ts'

const SCOPES: Scope[] = ['admin', 'submit', 'read', 'metrics', 'worker']

/** The API of one test file, with a database, a Redis, a data folder of its own and a key of each scope. */
export async function startApp(overrides: Partial<Config> = {}, roomOptions: { leastFreeBytes?: number } = {}) {
  const releasers = createReleasers()
  const root = overrides.dataDir ?? (await mkdtemp(join(tmpdir(), 'sc-http-')))
  if (overrides.dataDir === undefined) releasers.add('folder', () => rm(root, { recursive: true, force: true }))
  const [database, redis] = await Promise.all([createTestDatabase(), createTestRedis()])
  releasers.add('redis server', () => redis.stop())
  releasers.add('database', () => database.drop())
  const door = await createDoor(database.url)
  releasers.add('door', () => door.shut())
  const servers = { databaseUrl: door.url, redisUrl: redis.url, root }
  const opened = await openApp(servers, releasers, overrides, roomOptions)
  const made = SCOPES.map(async scope => {
    const { key } = await createKey(opened.deps.db, { name: scope, scopes: [scope] })
    return [scope, key] as const
  })
  const keys = Object.fromEntries(await Promise.all(made)) as Record<Scope, string>
  return {
    ...opened,
    servers,
    /** The way to PostgreSQL. */
    door,
    keys,
    bearer: (scope: Scope) => ({ authorization: `Bearer ${keys[scope]}` }),
    release: () => releasers.release()
  }
}

export type TestApp = Awaited<ReturnType<typeof startApp>>
