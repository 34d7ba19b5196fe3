import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'
import { connectClient } from './connect.ts'

/** Brings the schema up to date; an advisory lock makes a second master wait. */
export async function migrate(databaseUrl: string): Promise<void> {
  const dbClient = await connectClient(databaseUrl)
  const migrating = runner({
    dbClient,
    dir: fileURLToPath(new URL('./migrations', import.meta.url)),
    direction: 'up',
    migrationsTable: 'migrations',
    count: Number.POSITIVE_INFINITY,
    log: () => {}
  })
  await migrating.finally(() => dbClient.end())
}
