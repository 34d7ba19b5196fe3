import { z } from 'zod'
import { listJobs } from '../../jobs/describe.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { findJob } from '../find-job.ts'
import { formatJobCursor, parseJobCursor } from '../job-cursor.ts'
import { problems } from '../problem.ts'
import { cancelledSchema, jobListSchema, jobSchema, statusSchema } from '../schemas.ts'
import { ownerOf } from '../visible.ts'

const params = z.object({ jobId: z.string().max(100) })
const tags = ['jobs']
const LARGEST_PAGE = 100

/** Jobs of every kind, transcriptions among them. */
export function addJobs(app: App, deps: AppDeps): void {
  app.get('/api/jobs', {
    config: { scope: 'read', own: true },
    schema: {
      summary: 'Jobs, newest first',
      description:
        'Jobs of every kind. The dead letters are here, too: `status=FAILED`, each with the `error` that ended it; `POST /api/jobs/retry` begins them again.',
      tags,
      querystring: z.object({
        status: statusSchema.optional(),
        task: z.string().max(100).optional(),
        cursor: z.string().max(200).optional().describe('`nextCursor` of the page before'),
        limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(50)
      }),
      response: { 200: jobListSchema, ...problems() }
    },
    handler: async request => {
      const { cursor, ...filter } = request.query
      const { items, next } = await listJobs(deps, {
        ...filter,
        owner: ownerOf(request),
        after: cursor === undefined ? undefined : parseJobCursor(cursor)
      })
      return { items, nextCursor: next ? formatJobCursor(next) : null }
    }
  })

  app.get('/api/jobs/:jobId', {
    config: { scope: 'read', own: true },
    schema: { summary: 'How a job stands', tags, params, response: { 200: jobSchema, ...problems('SC_NOT_FOUND') } },
    handler: async request => await findJob(deps, request.params.jobId)
  })

  app.delete('/api/jobs/:jobId', {
    config: { scope: 'submit' },
    schema: {
      summary: 'Cancel a job',
      description: 'A job that has ended stays as it is.',
      tags,
      params,
      response: { 202: cancelledSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async (request, reply) => {
      const { jobId } = request.params
      await deps.cancel(jobId)
      const { status } = await findJob(deps, jobId)
      return reply.status(202).send({ jobId, status })
    }
  })
}
