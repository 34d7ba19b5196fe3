import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import { findRetryable, RETRYABLE_JOB } from '../../jobs/find-retryable.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { findJob } from '../find-job.ts'
import { formatJobCursor, parseJobCursor } from '../job-cursor.ts'
import { problems, sendProblem } from '../problem.ts'
import { startedJobSchema, urlsOf } from '../task-schemas.ts'
import { ownerOf } from '../visible.ts'

const tags = ['jobs']
const MOST_AT_ONCE = 500

/** Jobs that ended without everything being done, begun again. */
export function addRetry(app: App, deps: AppDeps): void {
  app.post('/api/jobs/:jobId/retry', {
    config: { scope: 'submit' },
    schema: {
      summary: 'Begin a job again that failed, was cancelled or is partial',
      description:
        'It keeps its id. What was done stays done, what failed is queued again with fresh attempts. 409 for a job that is open or complete.',
      tags,
      params: z.object({ jobId: z.string().max(100) }),
      response: { 202: startedJobSchema, ...problems('SC_NOT_FOUND', 'SC_NOT_FAILED') }
    },
    handler: async (request, reply) => {
      const { jobId } = request.params
      const refusal = await retry(deps, jobId)
      const { status } = await findJob(deps, jobId)
      if (refusal) return await sendProblem(reply, refusal, { jobStatus: status })
      return reply.status(202).send({ jobId, submissionId: jobId, status, ...urlsOf(request, jobId) })
    }
  })

  app.post('/api/jobs/retry', {
    config: { scope: 'submit' },
    schema: {
      summary: 'Begin many such jobs again',
      description: `Newest first, up to \`limit\` at once; \`nextCursor\` goes on behind the last of them.`,
      tags,
      body: z
        .strictObject({
          status: z.enum(RETRYABLE_JOB).default('FAILED'),
          task: z.string().max(100).optional(),
          before: z.iso
            .datetime({ offset: true })
            .optional()
            .describe('Only jobs that were submitted before this time'),
          limit: z.int().min(1).max(MOST_AT_ONCE).default(100),
          cursor: z.string().max(200).optional()
        })
        .prefault({}),
      response: {
        202: z.object({ retried: z.array(z.string()), nextCursor: z.string().nullable() }),
        ...problems()
      }
    },
    handler: async (request, reply) => {
      const { cursor, before, ...filter } = request.body
      const found = await findRetryable(deps.db, {
        ...filter,
        owner: ownerOf(request),
        before: before === undefined ? undefined : new Date(before),
        after: cursor === undefined ? undefined : parseJobCursor(cursor)
      })
      const retried: string[] = []
      for (const jobId of found.jobIds) if (!(await retry(deps, jobId))) retried.push(jobId)
      return reply.status(202).send({ retried, nextCursor: found.next ? formatJobCursor(found.next) : null })
    }
  })
}

/** Undefined: it was begun again; else why not. */
async function retry(deps: AppDeps, jobId: string): Promise<ScError | undefined> {
  try {
    await deps.retry(jobId)
    return undefined
  } catch (error) {
    if (error instanceof ScError && (error.code === 'SC_NOT_FAILED' || error.code === 'SC_NOT_FOUND')) return error
    throw error
  }
}
