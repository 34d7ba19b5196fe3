import { z } from 'zod'
import { countWorkers } from '../../cluster/worker-stats.ts'
import { readOwnTotals } from '../../jobs/own-totals.ts'
import { readQueueStats } from '../../jobs/queue-stats.ts'
import { readTotals } from '../../jobs/totals.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { JOB_STATUS_COUNTS, queueStatsSchema, workerStatsSchema } from '../stats-schemas.ts'
import { ownerOf } from '../visible.ts'

/** Figures at a glance; `/metrics` has them for Prometheus. */
export function addStats(app: App, { db, presence }: AppDeps): void {
  app.get('/api/workers/stats', {
    config: { scope: 'read' },
    schema: {
      summary: 'What all workers together are',
      tags: ['cluster'],
      response: { 200: workerStatsSchema, ...problems() }
    },
    handler: async () => countWorkers(presence.workers())
  })

  app.get('/api/workers/queues', {
    config: { scope: 'read' },
    schema: {
      summary: 'Every queue: what waits in it, and who serves it',
      tags: ['cluster'],
      response: { 200: z.object({ items: z.array(queueStatsSchema), nextCursor: z.null() }), ...problems() }
    },
    handler: async () => ({ items: await readQueueStats(db, presence.workers()), nextCursor: null })
  })

  app.get('/api/stats', {
    config: { scope: 'read', own: true },
    schema: {
      summary: 'Jobs, units and workers in numbers',
      description: 'For a key that may submit and not read, jobs and units are its own.',
      tags: ['cluster'],
      response: {
        200: workerStatsSchema.omit({ units: true }).extend({
          jobs: JOB_STATUS_COUNTS.describe('By status; those that ended: of the last 24 hours'),
          units: z.object({ QUEUED: z.int(), RUNNING: z.int() }),
          lastMinute: z.object({
            unitsDone: z.int(),
            secondsDone: z.number().describe('Seconds of audio'),
            jobsEnded: z.int()
          })
        }),
        ...problems()
      }
    },
    handler: async request => {
      const { units: _, ...workers } = countWorkers(presence.workers())
      const owner = ownerOf(request)
      return { ...workers, ...(await (owner === null ? readTotals(db) : readOwnTotals(db, owner))) }
    }
  })
}
