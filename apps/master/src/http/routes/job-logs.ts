import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import { MOST_LOG_BYTES } from '../../jobs/keep-logs.ts'
import { LOG_LEVELS, readLogs } from '../../jobs/logs.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { logListSchema } from '../task-schemas.ts'

const LARGEST_PAGE = 1_000

/** What the units of a job have said. */
export function addJobLogs(app: App, { db }: AppDeps): void {
  app.get('/api/jobs/:jobId/logs', {
    config: { scope: 'read', own: true },
    schema: {
      summary: 'The log of a job, oldest first',
      description: `Up to ${MOST_LOG_BYTES / 1024 ** 2} MB is kept with a job: then its last line says that the log ends there. The same lines come live from \`/events\`.`,
      tags: ['jobs'],
      params: z.object({ jobId: z.string().max(100) }),
      querystring: z.object({
        cursor: z
          .string()
          .regex(/^\d{1,18}$/, 'expected the nextCursor of an earlier page')
          .default('0')
          .describe('`nextCursor` of the page before'),
        limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(200),
        level: z.enum(LOG_LEVELS).default('debug').describe('The least serious level')
      }),
      response: { 200: logListSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async request => {
      const { jobId } = request.params
      const { cursor: after, limit, level } = request.query
      const job = await db.selectFrom('jobs').select('id').where('id', '=', jobId).executeTakeFirst()
      if (!job) throw new ScError('SC_NOT_FOUND', `There is no job "${jobId}".`)
      const lines = await readLogs(db, jobId, { after, level, limit: limit + 1 })
      const page = lines.slice(0, limit)
      const nextCursor = lines.length > limit ? (page.at(-1)?.id ?? null) : null
      return { items: page.map(({ line }) => line), nextCursor }
    }
  })
}
