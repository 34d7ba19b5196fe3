import { randomUUID } from 'node:crypto'
import { ScError } from '@sc/shared/errors.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'
import type { KyselyPlugin } from 'kysely'
import { describe, expect, it, vi } from 'vitest'
import type { DatabaseTransaction } from '../../src/database/schema.ts'
import { type Said as AcceptedSaid, acceptBatch, type Holds } from '../../src/jobs/accept-batch.ts'
import { LINE_BYTES, MOST_LOG_BYTES } from '../../src/jobs/keep-logs.ts'
import { emptyVerdict } from '../../src/jobs/verdict.ts'
import type { Said, Taken } from './test-worker.ts'
import { useEngine } from './use-engine.ts'

const TIMINGS = { waited: 0, fetched: 1, ran: 1, reported: 0 }
const WAIT = { timeout: 8_000, interval: 20 }
const error = new ScError('SC_TASK_FAILED', 'made up').toReport()

describe('what a worker reports of units', () => {
  const at = useEngine()

  /** Everything that can be reported of a unit. */
  function everything(unitId: string, ticket: string | undefined, attemptId: string = randomUUID()): Said[] {
    const one = { unitId, attemptId, slot: 'cpu0', ...(ticket !== undefined && { ticket }) }
    return [
      { type: 'started', ...one, waitedMs: 0 },
      { type: 'progress', ...one, fraction: 0.5 },
      { type: 'log', ...one, level: 'info', message: 'made up' },
      { type: 'returned', ...one, entry: `${unitId}-0`, hasBegun: false },
      { type: 'error', ...one, error, retryable: false, timings: TIMINGS },
      { type: 'result', ...one, output: 'made up', timings: TIMINGS }
    ]
  }

  async function sayAll(workerId: string, messages: Said[]): Promise<void> {
    const mark = await at.world.redis.xadd(outboxKey(workerId), '*', 'm', '[]')
    for (const message of messages) await at.world.say(workerId, message)
    await vi.waitFor(
      async () => expect(await at.world.redis.xrange(outboxKey(workerId), mark as string, '+')).toEqual([]),
      WAIT
    )
  }

  /** Applies a batch by itself; answers how long each of its statements is, values included. */
  async function accept(said: AcceptedSaid[], holds: Holds = () => false) {
    const statements: number[] = []
    const counter: KyselyPlugin = {
      transformQuery: ({ node }) => {
        statements.push(JSON.stringify(node).length)
        return node
      },
      transformResult: async ({ result }) => result
    }
    const verdict = emptyVerdict()
    await at.world.db
      .transaction()
      .execute(trx => acceptBatch(trx.withPlugin(counter) as DatabaseTransaction, said, verdict, holds))
    return { verdict, statements }
  }

  const unitOf = async (jobId: string, index: number) => {
    const unit = (await at.world.units(jobId))[index]
    if (!unit) throw new Error(`no unit ${index}`)
    return unit
  }
  const start = async (input: Record<string, unknown>): Promise<string> => {
    const jobId = await at.world.insertJob(input)
    await at.engine.stop()
    // The reconciler of a starting master finds what was submitted and not planned.
    await at.start()
    return jobId
  }
  const take = (workerId: string): Promise<Taken> => at.world.takeOne('cpu', workerId)

  it('starts nothing that was given up and is not sent again yet: nobody would ever end it', async () => {
    const jobId = await start({ units: 1 })
    const taken = await take('w-1')
    const attempt = () => ({ unitId: taken.units[0].unitId, attemptId: randomUUID(), slot: 'cpu0' })
    const [first, second] = [attempt(), attempt()]
    const ticket = taken.tickets[0] as string
    const all = [
      { type: 'started', ...first, ticket, waitedMs: 0 },
      { type: 'error', ...first, ticket, error, retryable: true, timings: TIMINGS },
      { type: 'started', ...second, ticket, waitedMs: 0 }
    ]
    await at.world.redis.xadd(outboxKey('w-1'), '*', 'm', JSON.stringify(all))
    await vi.waitFor(async () => expect(await unitOf(jobId, 0)).toMatchObject({ status: 'QUEUED', attempts: 1 }), WAIT)
    const again = await take('w-2')
    await at.world.say('w-2', { type: 'result', ...attempt(), output: 1, timings: TIMINGS })
    expect(again.units[0].unitId).toBe(taken.units[0].unitId)
    await vi.waitFor(async () => expect((await at.world.job(jobId)).status).toBe('COMPLETED'), WAIT)
  })

  it('writes nothing into the log of a job whose unit it gave back', async () => {
    const jobId = await start({ units: 1 })
    const taken = await take('w-1')
    const about = { unitId: taken.units[0].unitId, attemptId: 'first', slot: 's', ticket: taken.tickets[0] as string }
    const line = (message: string): Said => ({ type: 'log', ...about, level: 'info', message })
    await sayAll('w-1', [line('it has it'), { type: 'returned', ...about, entry: taken.entry, hasBegun: false }])
    // What it holds is known a moment after that was applied.
    await new Promise(resolve => setTimeout(resolve, 100))
    await sayAll('w-1', [line('it had it')])
    const rows = await at.world.db.selectFrom('job_logs').select('message').where('job_id', '=', jobId).execute()
    expect(rows.map(({ message }) => message)).toEqual(['it has it'])
  })

  it('brings no further entry by giving back what it does not hold', async () => {
    const jobId = await start({ units: 1 })
    const taken = await take('w-1')
    const { unitId } = taken.units[0]
    const ticket = taken.tickets[0] as string
    const back = (entry: string, attemptId: string) => ({
      type: 'returned' as const,
      unitId,
      attemptId,
      slot: 's',
      entry
    })
    await at.world.say('w-1', { ...back(taken.entry, 'first'), hasBegun: false, ticket })
    const sent = await vi.waitFor(async () => {
      const unit = await unitOf(jobId, 0)
      expect(unit).toMatchObject({ dispatch: 1, entry: expect.any(String) })
      return unit
    }, WAIT)
    for (let n = 0; n < 3; n++) {
      const attemptId = randomUUID()
      await sayAll('w-1', [
        { type: 'started', unitId, attemptId, slot: 's', ticket, waitedMs: 0 },
        { ...back(sent.entry as string, attemptId), hasBegun: true, ticket }
      ])
    }
    expect(await unitOf(jobId, 0)).toMatchObject({ status: 'QUEUED', dispatch: 1, entry: sent.entry })
    expect((await take('w-2')).entry).toBe(sent.entry)
  })

  it('costs few statements, whatever it says of many units that ended long ago', async () => {
    const said = Array.from({ length: 200 }, (_, n) => {
      const one = { unitId: `gone-${n}`, slot: 's', ticket: '' }
      const started = () => ({ type: 'started' as const, ...one, attemptId: randomUUID(), waitedMs: 0 })
      const result = { type: 'result' as const, ...one, attemptId: randomUUID(), output: 1, timings: TIMINGS }
      return [started(), started(), result].map(message => ({ workerId: 'w-1', message }))
    }).flat()
    const { verdict, statements } = await accept(said)
    expect(verdict.stop.length).toBe(400)
    expect(statements.length).toBeLessThan(10)
  })

  it('sends PostgreSQL no large output of a unit that has ended', async () => {
    const jobId = await start({ units: 1 })
    const { unitId } = (await take('w-1')).units[0]
    const output = 'x'.repeat(300_000)
    const resultFor = (id: string) => {
      const one = { unitId: id, attemptId: randomUUID(), slot: 's', ticket: '', output, timings: TIMINGS }
      return { workerId: 'w-1', message: { type: 'result' as const, ...one } }
    }
    const first = await accept([resultFor('gone'), resultFor(unitId)])
    expect(first.verdict.done.map(({ unit }) => unit.id)).toEqual([unitId])
    expect(Math.max(...first.statements)).toBeLessThan(400_000)
    const again = await accept([resultFor('gone'), resultFor(unitId)])
    expect(again.verdict.done).toEqual([])
    expect(again.statements.length).toBe(1)
    expect(again.statements[0]).toBeLessThan(5_000)
    expect(await unitOf(jobId, 0)).toMatchObject({ status: 'DONE', output })
  })

  it('is known to come of a unit that its worker held, or not', async () => {
    const jobId = await start({ units: 2 })
    for (const workerId of ['w-1', 'w-2']) await take(workerId)
    const units = await at.world.units(jobId)
    const said = units.map(({ id }) => {
      const one = { unitId: id, attemptId: randomUUID(), slot: 's', ticket: '', output: 1, timings: TIMINGS }
      return { workerId: 'w-1', message: { type: 'result' as const, ...one } }
    })
    const { verdict } = await accept(said, (_, unitId) => unitId === units[0]?.id)
    const heldBy = Object.fromEntries(verdict.done.map(one => [one.unit.id, one.heldBy]))
    expect(units.map(({ id }) => heldBy[id])).toEqual(['w-1', null])
  })

  it('counts with the ticket of a unit that it was given, and with no other', async () => {
    const jobId = await start({ units: 2 })
    const [mine, other] = [await take('w-1'), await take('w-2')]
    await at.world.worker('w-1').take('cpu', 50)
    const [{ unitId }, otherTicket] = [other.units[0], other.tickets[0] as string]
    const before = await unitOf(jobId, other.units[0].index)
    // No ticket, one of its own for another unit, and another worker's for this one.
    for (const ticket of ['', mine.tickets[0] as string, otherTicket]) await sayAll('w-1', everything(unitId, ticket))
    expect(await unitOf(jobId, other.units[0].index)).toEqual(before)
    expect(await at.world.db.selectFrom('job_logs').selectAll().where('job_id', '=', jobId).execute()).toEqual([])
    await sayAll(
      'w-2',
      everything(unitId, otherTicket).filter(({ type }) => type === 'result')
    )
    expect(await unitOf(jobId, other.units[0].index)).toMatchObject({
      status: 'DONE',
      worker_id: 'w-2',
      output: 'made up'
    })
  })

  it('counts long after it was thought lost, and after the master began anew', async () => {
    const jobId = await start({ units: 1 })
    const taken = await take('w-1')
    at.world.worker('w-1').die()
    const again = await take('w-2')
    expect(again.units[0].unitId).toBe(taken.units[0].unitId)
    await at.engine.stop()
    await at.start()
    const late = everything(taken.units[0].unitId, taken.tickets[0]).filter(({ type }) => type === 'result')
    await sayAll('w-1', late)
    expect(await unitOf(jobId, 0)).toMatchObject({ status: 'DONE', worker_id: 'w-1' })
  })

  const startOf = (unitId: string, attemptId: string = randomUUID()): Said => {
    return { type: 'started', unitId, attemptId, slot: 'cpu0', waitedMs: 0 }
  }
  const resultOf = (unitId: string, output: unknown, attemptId: string = randomUUID()): Said => {
    return { type: 'result', unitId, attemptId, slot: 'cpu0', output, timings: TIMINGS }
  }
  const logOf = (unitId: string, attemptId: string, message: string): Said => {
    return { type: 'log', unitId, attemptId, level: 'info', message }
  }
  const linesOf = async (jobId: string) => {
    const rows = await at.world.db
      .selectFrom('job_logs')
      .select('message')
      .where('job_id', '=', jobId)
      .orderBy('id')
      .execute()
    return rows.map(({ message }) => message)
  }

  it.each(['gave back', 'lost'])('interrupts nobody with that of a unit that it %s', async how => {
    const jobId = await start({ units: 1 })
    const taken = await take('w-1')
    const { unitId } = taken.units[0]
    const about = { unitId, slot: 'cpu0', hasBegun: false }
    if (how === 'lost') at.world.worker('w-1').die()
    else await at.world.say('w-1', { type: 'returned', ...about, attemptId: randomUUID(), entry: taken.entry })
    const again = await take('w-2')
    await sayAll('w-2', [startOf(unitId, 'a-2')])
    const entries = [again.entry, taken.entry, ...[1, 2, 3, 4, 5].map(n => `${unitId}-${n}`)]
    for (const entry of entries)
      await sayAll('w-1', [startOf(unitId), { type: 'returned', ...about, attemptId: randomUUID(), entry }])
    expect(await unitOf(jobId, 0)).toMatchObject({ status: 'RUNNING', worker_id: 'w-2', attempt_id: 'a-2', crashes: 0 })
    await sayAll('w-2', [resultOf(unitId, 'right', 'a-2')])
    expect(await unitOf(jobId, 0)).toMatchObject({ status: 'DONE', worker_id: 'w-2', output: 'right' })
  })

  it('writes into the log of a job while its attempt runs, and not after', async () => {
    const jobId = await start({ units: 2 })
    const taken = await take('w-1')
    const { unitId } = taken.units[0]
    await sayAll('w-1', [startOf(unitId, 'a-1'), logOf(unitId, 'a-1', 'it runs'), logOf(unitId, 'a-0', 'of another')])
    const about = { ticket: taken.tickets[0] as string }
    // In one entry, as a worker writes them.
    const last = [logOf(unitId, 'a-1', 'the last line'), resultOf(unitId, 1, 'a-1')].map(one => ({ ...one, ...about }))
    await at.world.redis.xadd(outboxKey('w-1'), '*', 'm', JSON.stringify(last))
    await sayAll('w-1', [logOf(unitId, 'a-1', 'after its end')])
    await expect.poll(() => linesOf(jobId)).toEqual(['it runs', 'the last line'])
  })

  it('keeps many lines of a log in one statement, and none that has no room', async () => {
    const jobId = await start({ units: 1 })
    const { unitId } = (await take('w-1')).units[0]
    const about = { unitId, attemptId: 'a-1', ticket: '' }
    const line = (message: string) => {
      return { workerId: 'w-1', message: { type: 'log' as const, ...about, level: 'info' as const, message } }
    }
    const started = { type: 'started' as const, ...about, slot: 's', waitedMs: 0 }
    const few = Array.from({ length: 100 }, (_, n) => `line ${n}`)
    const [before, after] = [few.slice(0, 50), few.slice(50)].map(some => some.map(line))
    const all = [...(before ?? []), { workerId: 'w-1', message: started }, ...(after ?? [])]
    const first = await accept(all, () => true)
    // Of the lines before the start and those after it: what there is room for, then the lines.
    expect(first.statements.length).toBe(5)
    expect(await linesOf(jobId)).toEqual(few)
    const large = Array.from({ length: 200 }, () => line('x'.repeat(8_000)))
    expect((await accept(large)).statements.length).toBe(2)
    const kept = await linesOf(jobId)
    const left = MOST_LOG_BYTES - few.join('').length - 100 * LINE_BYTES
    expect(kept.length).toBe(100 + Math.floor(left / (8_000 + LINE_BYTES)) + 1)
    expect(kept.filter(message => message.includes('ends here'))).toEqual([kept.at(-1)])
    const over = await accept(large)
    expect(over.statements.length).toBe(1)
    expect(over.statements[0]).toBeLessThan(5_000)
    expect(await linesOf(jobId)).toEqual(kept)
  })

  it('ends the log of a job whose lines are empty as that of any other', async () => {
    const jobId = await start({ units: 1 })
    const { unitId } = (await take('w-1')).units[0]
    const about = { type: 'log' as const, unitId, attemptId: 'a-1', ticket: '', level: 'info' as const, message: '' }
    const empty = Array.from({ length: 10_000 }, () => ({ workerId: 'w-1', message: about }))
    await accept(empty, () => true)
    const kept = await linesOf(jobId)
    expect(kept.length).toBe(MOST_LOG_BYTES / LINE_BYTES)
    expect(kept.at(-1)).toMatch(/ends here/)
  })

  it('counts nothing once its worker is revoked', async () => {
    const jobId = await start({ units: 1 })
    const { unitId } = (await take('w-1')).units[0]
    await sayAll('w-1', [startOf(unitId, 'a-1')])
    const revoke = (revoked_at: Date | null) =>
      at.world.db.updateTable('workers').set({ revoked_at }).where('id', '=', 'w-1').execute()
    await revoke(new Date())
    try {
      await sayAll('w-1', [logOf(unitId, 'a-1', 'of a revoked one'), resultOf(unitId, 'made up', 'a-1')])
      expect(await unitOf(jobId, 0)).toMatchObject({ status: 'RUNNING', output: null })
      expect(await linesOf(jobId)).toEqual([])
    } finally {
      await revoke(null)
    }
  })
})
