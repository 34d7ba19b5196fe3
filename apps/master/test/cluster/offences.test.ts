import { createLog } from '@sc/shared/log.ts'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createOffences, FLOOD, type Offences, weightOf } from '../../src/cluster/offences.ts'
import { connectDatabase } from '../../src/database/connect.ts'
import type { Database } from '../../src/database/schema.ts'
import { createTestDatabase } from '../database.ts'

let database: Awaited<ReturnType<typeof createTestDatabase>>
let db: Database
let offences: Offences
const quarantined: string[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  db = connectDatabase(database.url, () => {})
  const ids = ['w-1', 'w-2', 'w-3']
  await db
    .insertInto('workers')
    .values(ids.map(id => ({ id, name: id, hostname: 'desk', queues: [] })))
    .execute()
  offences = createOffences({
    db,
    log: createLog('test', 'silent'),
    metrics: { messageRefused: () => {} },
    access: {
      quarantineWorker: async id => {
        if (id === 'w-1') throw new Error('away')
        quarantined.push(id)
      }
    }
  })
})
afterAll(async () => {
  await offences.stop()
  await db.destroy()
  await database.drop()
})

it('quarantines a worker whatever its offence is called, and others when one cannot be', async () => {
  offences.record('w-1', 'it is away', FLOOD)
  offences.record('w-2', 'it holds the entry \0, which it was not given', FLOOD)
  offences.record('w-3', `${'x'.repeat(499)}\u{1f600}`, FLOOD)
  await expect.poll(() => quarantined, { timeout: 8_000 }).toEqual(expect.arrayContaining(['w-2', 'w-3']))
  const kept = async () => {
    const rows = await db.selectFrom('workers').select(['offences', 'last_offence']).orderBy('id').execute()
    return rows.map(row => [row.offences, row.last_offence])
  }
  await expect.poll(kept, { timeout: 8_000 }).toEqual([
    [0, null],
    [1, 'it holds the entry \ufffd, which it was not given'],
    [1, `${'x'.repeat(499)}\ufffd`]
  ])
})

it('quarantines who writes some dozen large messages in vain, and not who writes a thousand small ones', async () => {
  quarantined.splice(0)
  for (let n = 0; n < 1_000; n++) offences.record('w-2', 'of an earlier version', 1 + weightOf(1_000))
  for (let n = 0; n < 60; n++) offences.record('w-3', 'a result of nothing', 1 + weightOf(900_000))
  await expect.poll(() => quarantined, { timeout: 8_000 }).toContain('w-3')
  expect(quarantined).not.toContain('w-2')
})
