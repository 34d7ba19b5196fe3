import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { unitListSchema } from '../schemas.ts'

const params = z.object({ jobId: z.string().max(100) })

/** What a job is made of, and where each part was done. */
export function addUnits(app: App, { db }: AppDeps): void {
  app.get('/api/jobs/:jobId/units', {
    config: { scope: 'read' },
    schema: {
      summary: 'The units of a job, in order',
      tags: ['jobs'],
      params,
      response: { 200: unitListSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async request => {
      const { jobId } = request.params
      const job = await db.selectFrom('jobs').select('id').where('id', '=', jobId).executeTakeFirst()
      if (!job) throw new ScError('SC_NOT_FOUND', `There is no job "${jobId}".`)
      const units = await db
        .selectFrom('units')
        .select(['id', 'index', 'task', 'queue', 'status', 'attempts', 'crashes', 'worker_id', 'slot'])
        .select(['started_at', 'finished_at', 'timings', 'error'])
        .where('job_id', '=', jobId)
        .orderBy('task')
        .orderBy('index')
        .execute()
      const items = units.map(({ id, worker_id, started_at, finished_at, timings, ...unit }) => ({
        unitId: id,
        ...unit,
        workerId: worker_id,
        startedAt: started_at?.toISOString() ?? null,
        finishedAt: finished_at?.toISOString() ?? null,
        timingsMs: timings
      }))
      return { items, nextCursor: null }
    }
  })
}
