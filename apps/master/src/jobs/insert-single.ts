import { type Insertable, sql } from 'kysely'
import type { Database, JobsTable } from '../database/schema.ts'
import { takeTurn } from './fair-share.ts'
import { SENT, type SentUnit } from './send-next.ts'
import { checkSize, unitIdOf } from './units.ts'

const WHAT = ['id', 'job_id', 'task', 'index', 'queue', 'params', 'span', 'seconds', 'deadline_ms'] as const
const WHEN = ['priority', 'rank', 'not_before', 'max_attempts', 'entry', 'sent_at'] as const

export interface SingleUnit {
  queue: string
  deadlineMs: number
  /** The caller puts the unit into its queue: what it is to be called there is written down with it. */
  isSent: boolean
}

/** Adds a job of one unit together with its unit, in one statement: nobody sees one without the other. */
export async function insertSingle(
  db: Database,
  job: Insertable<JobsTable>,
  { queue, deadlineMs, isSent }: SingleUnit
): Promise<SentUnit> {
  const unitId = unitIdOf(job.id, { task: job.task, index: 0 })
  checkSize(unitId, job.input)
  return await db
    .with('turn', () => sql<{ rank: number }>`(${takeTurn(job)})`)
    .with('job', adding =>
      adding.insertInto('jobs').values(job).returning(['id', 'task', 'priority', 'max_attempts', 'run_at', 'input'])
    )
    .insertInto('units')
    .columns([...WHAT, ...WHEN])
    .expression(adding =>
      adding
        .selectFrom(['job', 'turn'])
        .select(eb => [
          sql<string>`${unitId}::text`.as('id'),
          'job.id as job_id',
          'job.task',
          eb.lit(0).as('index'),
          sql<string>`${queue}::text`.as('queue'),
          'job.input as params',
          sql<string>`'{}'::jsonb`.as('span'),
          eb.lit(0).as('seconds'),
          sql<number>`${deadlineMs}::integer`.as('deadline_ms'),
          'job.priority',
          'turn.rank',
          'job.run_at as not_before',
          'job.max_attempts',
          sql<string | null>`${isSent ? `${unitId}-0` : null}::text`.as('entry'),
          sql<Date | null>`case when ${isSent} then now() end`.as('sent_at')
        ])
    )
    .returning(SENT)
    .executeTakeFirstOrThrow()
}
