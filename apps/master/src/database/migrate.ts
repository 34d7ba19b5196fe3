import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'

/** Brings the schema up to date; an advisory lock makes a second master wait. */
export async function migrate(databaseUrl: string): Promise<void> {
  await runner({
    databaseUrl,
    dir: fileURLToPath(new URL('./migrations', import.meta.url)),
    direction: 'up',
    migrationsTable: 'migrations',
    count: Number.POSITIVE_INFINITY,
    log: () => {}
  })
}
