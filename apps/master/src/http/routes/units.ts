import { ScError } from '@sc/shared/errors.ts'
import { type SqlBool, sql } from 'kysely'
import { z } from 'zod'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { unitListSchema } from '../schemas.ts'

const params = z.object({ jobId: z.string().max(100) })
const LARGEST_PAGE = 1_000

/** What a job is made of, and where each part was done. */
export function addUnits(app: App, { db }: AppDeps): void {
  app.get('/api/jobs/:jobId/units', {
    config: { scope: 'read' },
    schema: {
      summary: 'The units of a job, in order',
      tags: ['jobs'],
      params,
      querystring: z.object({
        cursor: z.string().max(300).optional().describe('`nextCursor` of the page before'),
        limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(LARGEST_PAGE)
      }),
      response: { 200: unitListSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async request => {
      const { jobId } = request.params
      const { cursor, limit } = request.query
      const after = parseCursor(cursor)
      const job = await db.selectFrom('jobs').select('id').where('id', '=', jobId).executeTakeFirst()
      if (!job) throw new ScError('SC_NOT_FOUND', `There is no job "${jobId}".`)
      const units = await db
        .selectFrom('units')
        .select(['id', 'index', 'task', 'queue', 'status', 'attempts', 'crashes', 'worker_id', 'slot'])
        .select(['started_at', 'finished_at', 'timings', 'error'])
        .where('job_id', '=', jobId)
        .where(sql<SqlBool>`(task, index) > (${after.task}, ${after.index}::integer)`)
        .orderBy('task')
        .orderBy('index')
        .limit(limit + 1)
        .execute()
      const page = units.slice(0, limit)
      const items = page.map(({ id, worker_id, started_at, finished_at, timings, ...unit }) => ({
        unitId: id,
        ...unit,
        workerId: worker_id,
        startedAt: started_at?.toISOString() ?? null,
        finishedAt: finished_at?.toISOString() ?? null,
        timingsMs: timings
      }))
      const last = units.length > limit ? page.at(-1) : undefined
      return { items, nextCursor: last ? Buffer.from(`${last.index}.${last.task}`).toString('base64url') : null }
    }
  })
}

/** Before every unit when there is none: no task has an empty name. */
function parseCursor(cursor: string | undefined): { task: string; index: number } {
  if (cursor === undefined) return { task: '', index: 0 }
  const [, index, task] = /^(\d{1,9})\.([\x20-\x7e]+)$/.exec(Buffer.from(cursor, 'base64url').toString('utf8')) ?? []
  if (index && task) return { task, index: Number(index) }
  throw new ScError('SC_BAD_REQUEST', 'cursor: expected the nextCursor of an earlier page.')
}
