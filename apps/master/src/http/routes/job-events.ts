import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { hasResult } from '../../database/schema.ts'
import { jobEvents } from '../../jobs/events.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { findJob } from '../find-job.ts'
import { problems } from '../problem.ts'
import { jobSchema } from '../schemas.ts'
import { eventStreamResponse, lastEventIdOf, type StreamEvent, sendEvents } from '../sse.ts'
import { progressEventSchema, urlsOf } from '../task-schemas.ts'

/** What happens to a job of any kind, as it happens. */
export function addJobEvents(app: App, deps: AppDeps): void {
  app.get('/api/jobs/:jobId/events', {
    config: { scope: 'read', own: true },
    // Asking for the headers of a stream that does not end would not end.
    exposeHeadRoute: false,
    schema: {
      summary: 'What happens to a job, as server-sent events',
      description:
        'Events `status`, `progress` (with `partial`, what a unit that runs has to show so far), `log`, of a transcription also `segment`, of a task whose result is not large `result`, and `done`, after which the stream ends. `Last-Event-ID` goes on after that segment or line of the log.',
      tags: ['jobs'],
      params: z.object({ jobId: z.string().max(100) }),
      response: {
        200: eventStreamResponse,
        ...problems('SC_NOT_FOUND')
      }
    },
    handler: async (request, reply) => {
      const { jobId } = request.params
      await findJob(deps, jobId)
      return await sendEvents(reply, toStream(deps, request, jobId, app.whileAllowed(request, reply)))
    }
  })
}

/** The API says of a stream's events what it says of the job. */
async function* toStream(
  deps: AppDeps,
  request: FastifyRequest,
  jobId: string,
  signal: AbortSignal
): AsyncGenerator<StreamEvent> {
  for await (const one of jobEvents(deps, jobId, { lastEventId: lastEventIdOf(request), withLogs: true }, signal)) {
    if (one.event === 'status') yield { event: 'status', data: jobSchema.parse(one.data) }
    else if (one.event === 'progress') {
      const partial = one.data.partial?.value
      yield { event: 'progress', data: progressEventSchema.parse({ ...one.data, partial }) }
    } else if (one.event === 'done') {
      const resultUrl = hasResult(one.data.status) ? urlsOf(request, jobId).resultUrl : null
      yield { event: 'done', data: { ...one.data, resultUrl } }
    } else yield one
  }
}
