import { createLog } from '@sc/shared/log.ts'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connectDatabase } from '../../src/database/connect.ts'
import type { Database } from '../../src/database/schema.ts'
import { createJobFeed, type JobFeed } from '../../src/jobs/feed.ts'
import { notifyJob } from '../../src/jobs/settle.ts'
import { createTestDatabase } from '../database.ts'
import { createDoor } from '../http/door.ts'

let database: Awaited<ReturnType<typeof createTestDatabase>>
let door: Awaited<ReturnType<typeof createDoor>>
let db: Database
let feed: JobFeed
beforeAll(async () => {
  database = await createTestDatabase()
  door = await createDoor(database.url)
  db = connectDatabase(database.url, () => {})
  feed = await createJobFeed({ databaseUrl: door.url, log: createLog('test', 'silent') })
})
afterAll(async () => {
  await feed.stop()
  await db.destroy()
  await door.shut()
  await database.drop()
})

it('tells those who asked for a job, and those who asked for all, until they stop', async () => {
  const heard: string[] = []
  const release = [
    feed.onChange('a', jobId => heard.push(`only ${jobId}`)),
    feed.onChange(null, jobId => heard.push(`any ${jobId}`))
  ]
  await notifyJob(db, 'b')
  await notifyJob(db, 'a')
  await expect.poll(() => heard).toEqual(['any b', 'only a', 'any a'])
  for (const stop of release) stop()
  const last = new Promise(resolve => feed.onChange('c', resolve))
  await notifyJob(db, 'a')
  await notifyJob(db, 'c')
  await last
  expect(heard).toHaveLength(3)
})

it('hears again after an outage, once, and wakes those who may have missed something', async () => {
  let heard = 0
  const release = feed.onChange('a', () => {
    heard += 1
  })
  await door.shut()
  await notifyJob(db, 'a')
  await door.open()
  await expect.poll(() => heard, { timeout: 10_000 }).toBe(1)
  await notifyJob(db, 'a')
  await expect.poll(() => heard).toBe(2)
  release()
})
