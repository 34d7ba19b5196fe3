import { reportOf, ScError } from '@sc/shared/errors.ts'
import { type SqlBool, sql } from 'kysely'
import { z } from 'zod'
import { inIndexOrder } from '../../database/in-index-order.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { unitListSchema } from '../schemas.ts'

const params = z.object({ jobId: z.string().max(100) })
const LARGEST_PAGE = 1_000

/** What a job is made of, and where each part was done. */
export function addUnits(app: App, { db }: AppDeps): void {
  app.get('/api/jobs/:jobId/units', {
    config: { scope: 'read', own: true },
    schema: {
      summary: 'The units of a job, in order',
      tags: ['jobs'],
      params,
      querystring: z.object({
        cursor: z.string().max(200).optional().describe('`nextCursor` of the page before'),
        limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(200)
      }),
      response: { 200: unitListSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async request => {
      const { jobId } = request.params
      const { cursor, limit } = request.query
      const job = await db.selectFrom('jobs').select('id').where('id', '=', jobId).executeTakeFirst()
      if (!job) throw new ScError('SC_NOT_FOUND', `There is no job "${jobId}".`)
      const after = cursor === undefined ? undefined : parseCursor(cursor)
      const units = await inIndexOrder(db, trx => {
        const query = trx
          .selectFrom('units')
          .select(['id', 'index', 'task', 'queue', 'status', 'attempts', 'crashes', 'worker_id', 'slot'])
          .select(['started_at', 'finished_at', 'timings', 'error'])
          .where('job_id', '=', jobId)
          .orderBy('task')
          .orderBy('index')
          .limit(limit + 1)
        const page = after ? query.where(sql<SqlBool>`(task, index) > (${after.task}, ${after.index}::integer)`) : query
        return page.execute()
      })
      const last = units.length > limit ? units[limit - 1] : undefined
      const items = units
        .slice(0, limit)
        .map(({ id, worker_id, started_at, finished_at, timings, error, ...unit }) => ({
          unitId: id,
          ...unit,
          error: error && reportOf(error.code, error.detail),
          workerId: worker_id,
          startedAt: started_at?.toISOString() ?? null,
          finishedAt: finished_at?.toISOString() ?? null,
          timingsMs: timings
        }))
      return { items, nextCursor: last ? formatCursor(last) : null }
    }
  })
}

interface Place {
  task: string
  index: number
}

function formatCursor({ index, task }: Place): string {
  return Buffer.from(`${index}.${task}`).toString('base64url')
}

function parseCursor(cursor: string): Place {
  const text = Buffer.from(cursor, 'base64url').toString('utf8')
  const [, index, task] = /^(\d{1,9})\.([\x20-\x7e]+)$/.exec(text) ?? []
  if (index && task) return { index: Number(index), task }
  throw new ScError('SC_BAD_REQUEST', 'cursor: expected the nextCursor of an earlier page.')
}
