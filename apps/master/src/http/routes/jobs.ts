import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import { describeJob, type JobDescription, type JobFilter, listJobs } from '../../jobs/describe.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { cancelledSchema, jobListSchema, jobSchema, statusSchema } from '../schemas.ts'

const params = z.object({ jobId: z.string().max(100) })
const tags = ['jobs']
const LARGEST_PAGE = 100

/** Jobs of every kind, transcriptions among them. */
export function addJobs(app: App, deps: AppDeps): void {
  app.get('/api/jobs', {
    config: { scope: 'read' },
    schema: {
      summary: 'Jobs, newest first',
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
        after: cursor === undefined ? undefined : parseCursor(cursor)
      })
      return { items, nextCursor: next ? formatCursor(next) : null }
    }
  })

  app.get('/api/jobs/:jobId', {
    config: { scope: 'read' },
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

async function findJob(deps: AppDeps, jobId: string): Promise<JobDescription> {
  const job = await describeJob(deps, jobId)
  if (job) return job
  throw new ScError('SC_NOT_FOUND', `There is no job "${jobId}".`)
}

type Place = NonNullable<JobFilter['after']>

function formatCursor({ createdUs, id }: Place): string {
  return Buffer.from(`${createdUs}.${id}`).toString('base64url')
}

function parseCursor(cursor: string): Place {
  const [, createdUs, id] = /^(\d{1,18})\.([\x20-\x7e]+)$/.exec(Buffer.from(cursor, 'base64url').toString('utf8')) ?? []
  if (createdUs && id) return { createdUs, id }
  throw new ScError('SC_BAD_REQUEST', 'cursor: expected the nextCursor of an earlier page.')
}
