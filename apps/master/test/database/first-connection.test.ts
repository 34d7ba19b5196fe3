import { afterAll, beforeAll, expect, it } from 'vitest'
import { firstConnectionError } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import { createTestDatabase } from '../database.ts'

let database: Awaited<ReturnType<typeof createTestDatabase>>
beforeAll(async () => {
  database = await createTestDatabase()
})
afterAll(() => database?.drop())

/** What a master says whose DATABASE_URL is this one with a change. */
async function said(change: (url: URL) => void): Promise<unknown> {
  const url = new URL(database.url)
  change(url)
  return await migrate(url.href).then(
    () => 'nothing',
    error => firstConnectionError(url.href, error)
  )
}

it('a PostgreSQL that cannot be used says why, and never the password', async () => {
  const { host } = new URL(database.url)
  const wrong = await said(url => {
    url.password = 'wrong-and-secret'
  })
  expect(wrong).toMatchObject({
    code: 'SC_CONFIG',
    message: expect.stringContaining(`DATABASE_URL: PostgreSQL at ${host} refuses the login of`)
  })
  expect(String(wrong)).not.toContain('wrong-and-secret')
  const missing = await said(url => {
    url.pathname = '/no-such-database'
  })
  expect(missing).toMatchObject({
    code: 'SC_CONFIG',
    message: `DATABASE_URL: PostgreSQL at ${host} has no database no-such-database: make it first (createdb no-such-database).`
  })
  const nowhere = await said(url => {
    url.port = '1'
  })
  expect(nowhere).toMatchObject({ code: 'SC_UNAVAILABLE', message: expect.stringContaining('cannot be reached') })
})
