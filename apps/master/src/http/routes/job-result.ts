import { Readable } from 'node:stream'
import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import { outputKeyOf } from '../../jobs/output.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { untilDisconnect } from '../disconnect.ts'
import { problems, sendProblem } from '../problem.ts'
import { whyNoResult } from '../why-no-result.ts'

/** What came of a job of any kind. */
export function addJobResult(app: App, deps: AppDeps): void {
  app.get('/api/jobs/:jobId/result', {
    config: { scope: 'read', own: true },
    schema: {
      summary: 'The result of a job',
      description: '409 while the job is not finished, and when it ended without a result; `jobStatus` says which.',
      tags: ['jobs'],
      params: z.object({ jobId: z.string().max(100) }),
      response: {
        200: { description: 'The result', content: { 'application/json': { schema: RESULT } } },
        ...problems('SC_NOT_FOUND', 'SC_NOT_FINISHED', 'SC_NO_RESULT')
      }
    },
    handler: async (request, reply) => {
      const { jobId } = request.params
      const job = await deps.db
        .selectFrom('jobs')
        .select(['id', 'task', 'status', 'error', 'output', 'output_ref'])
        .where('id', '=', jobId)
        .executeTakeFirst()
      if (!job) throw new ScError('SC_NOT_FOUND', `There is no job "${jobId}".`)
      const { status, error } = job
      const refusal = whyNoResult({ jobId, status, error })
      if (refusal) return await sendProblem(reply, refusal, { jobStatus: status })
      const key = outputKeyOf(job)
      reply.type('application/json; charset=utf-8')
      if (key === null) return reply.send(JSON.stringify({ jobId, status, output: job.output }))
      const output = await deps.blobs.get(key, { signal: untilDisconnect(reply) })
      return reply.send(Readable.from(wrap({ jobId, status }, output), { objectMode: false }))
    }
  })
}

/** Sent as text or as a stream, which no schema is to look at. */
const RESULT = z.any().meta({
  type: 'object',
  description: '`{jobId, status, output}`; `output` is what the task gave back, of a transcription `transcription.json`'
})

/** The stored JSON inside the answer, as it is: a long transcript is never in memory whole. */
async function* wrap(head: { jobId: string; status: string }, output: AsyncIterable<Buffer>) {
  yield Buffer.from(`${JSON.stringify(head).slice(0, -1)},"output":`)
  yield* output
  yield Buffer.from('}')
}
