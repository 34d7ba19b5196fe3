import { ScError } from '@sc/shared/errors.ts'
import { sql } from 'kysely'
import { z } from 'zod'
import { listJobs } from '../../jobs/describe.ts'
import { findTouched } from '../../jobs/worker-jobs.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { formatJobCursor, parseJobCursor } from '../job-cursor.ts'
import { problems } from '../problem.ts'
import { jobListSchema, statusSchema } from '../schemas.ts'

const tags = ['cluster']
const params = z.object({ workerId: z.string().max(100) })
const LARGEST_PAGE = 100
const MOST_REDONE = 1_000

const page = z.object({
  cursor: z.string().max(200).optional().describe('`nextCursor` of the page before'),
  limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(50)
})
const revokedSchema = z.object({
  id: z.string(),
  name: z.string(),
  hostname: z.string(),
  enrolledAt: z.string(),
  revokedAt: z.string()
})

/** What a worker had its hands in, and doing that anew once it was revoked. */
export function addWorkerJobs(app: App, deps: AppDeps): void {
  const { db } = deps

  app.get('/api/workers/revoked', {
    config: { scope: 'read' },
    schema: {
      summary: 'Workers that were revoked, the last first',
      tags,
      querystring: page,
      response: { 200: z.object({ items: z.array(revokedSchema), nextCursor: z.string().nullable() }), ...problems() }
    },
    handler: async request => {
      const { cursor, limit } = request.query
      const after = cursor === undefined ? undefined : parseJobCursor(cursor)
      let query = db
        .selectFrom('workers')
        .select(['id', 'name', 'hostname', 'enrolled_at', 'revoked_at'])
        .select(sql<string>`(extract(epoch from revoked_at) * 1000000)::bigint::text`.as('revoked_us'))
        .where('revoked_at', 'is not', null)
        .orderBy('revoked_at', 'desc')
        .orderBy('id', 'desc')
        .limit(limit + 1)
      if (after) {
        const at = sql`'epoch'::timestamptz + ${after.createdUs}::bigint * interval '1 microsecond'`
        query = query.where(sql<boolean>`(revoked_at, id) < (${at}, ${after.id})`)
      }
      const rows = await query.execute()
      const shown = rows.slice(0, limit)
      const last = rows.length > limit ? shown.at(-1) : undefined
      const items = shown.map(({ id, name, hostname, enrolled_at, revoked_at }) => ({
        id,
        name,
        hostname,
        enrolledAt: enrolled_at.toISOString(),
        revokedAt: (revoked_at as Date).toISOString()
      }))
      return { items, nextCursor: last ? formatJobCursor({ createdUs: last.revoked_us, id: last.id }) : null }
    }
  })

  app.get('/api/workers/:workerId/jobs', {
    config: { scope: 'read' },
    schema: {
      summary: 'Jobs that stand on what a worker answered, newest first',
      description: 'Also of one that was revoked: units that it ended, and results of its that later jobs reused.',
      tags,
      params,
      querystring: page,
      response: { 200: jobListSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async request => {
      const { workerId } = request.params
      const { cursor, limit } = request.query
      await findWorker(deps, workerId)
      const after = cursor === undefined ? undefined : parseJobCursor(cursor)
      const { items, next } = await listJobs(deps, { owner: null, touchedBy: workerId, after, limit })
      return { items, nextCursor: next ? formatJobCursor(next) : null }
    }
  })

  app.post('/api/workers/:workerId/redo', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Do anew what stands on the answers of a revoked worker',
      description: `Each job keeps its id and is done from its start, by the workers that there are; a cancelled one stays. Up to ${MOST_REDONE} jobs, newest first; while \`more\` is true there are others.`,
      tags,
      params,
      response: {
        202: z.object({
          items: z.array(z.object({ jobId: z.string(), status: statusSchema })),
          nextCursor: z.null(),
          more: z.boolean()
        }),
        ...problems('SC_NOT_FOUND')
      }
    },
    handler: async (request, reply) => {
      const { workerId } = request.params
      const { revoked_at } = await findWorker(deps, workerId)
      if (revoked_at === null)
        throw new ScError(
          'SC_BAD_REQUEST',
          `Worker "${workerId}" is not revoked: DELETE /api/workers/${workerId} first.`
        )
      const jobIds = await findTouched(db, workerId, MOST_REDONE + 1)
      const items: Array<{ jobId: string; status: 'PENDING' }> = []
      for (const jobId of jobIds.slice(0, MOST_REDONE))
        if (await deps.redo(jobId, workerId)) items.push({ jobId, status: 'PENDING' })
      return reply.status(202).send({ items, nextCursor: null, more: jobIds.length > MOST_REDONE })
    }
  })
}

async function findWorker({ db }: AppDeps, workerId: string): Promise<{ revoked_at: Date | null }> {
  const worker = await db.selectFrom('workers').select('revoked_at').where('id', '=', workerId).executeTakeFirst()
  if (worker) return worker
  throw new ScError('SC_NOT_FOUND', `There is no worker "${workerId}".`)
}
