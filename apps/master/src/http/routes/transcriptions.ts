import { ScError } from '@sc/shared/errors.ts'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { hasResult } from '../../database/schema.ts'
import { describeJob, type JobDescription } from '../../jobs/describe.ts'
import { type JobProgress, jobEvents } from '../../jobs/events.ts'
import { RESULT_FORMATS, renderTranscript, type TranscriptTask } from '../../transcription/formats.ts'
import type { Transcript } from '../../transcription/merge.ts'
import type { TranscribeParams } from '../../transcription/params.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { callerOf } from '../auth.ts'
import { untilDisconnect } from '../disconnect.ts'
import { problems, sendProblem } from '../problem.ts'
import { cancelledSchema, transcriptionSchema, transcriptionUrlOf } from '../schemas.ts'
import { eventStreamResponse, lastEventIdOf, type StreamEvent, sendEvents } from '../sse.ts'
import { whyNoResult } from '../why-no-result.ts'

/** An hour of speech has half a megabyte. A longer transcript would hold up the master. */
const MOST_RENDERED_HERE_BYTES = 1024 ** 2

const params = z.object({ jobId: z.string().max(100) })
const tags = ['transcription']

/** One transcription: its state, its result, its events, its end. */
export function addTranscriptions(app: App, deps: AppDeps): void {
  app.get('/transcribe/:jobId', {
    config: { scope: 'read', own: true },
    schema: {
      summary: 'How a transcription stands',
      tags,
      params,
      response: { 200: transcriptionSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async request => await findTranscription(deps, request.params.jobId)
  })

  app.get('/transcribe/:jobId/result', {
    config: { scope: 'read', own: true },
    schema: {
      summary: 'The transcript',
      description: '409 while the job is not finished, and when it ended without a result; `jobStatus` says which.',
      tags,
      params,
      querystring: z.object({
        format: z.preprocess(
          format => (typeof format === 'string' ? format.trim().toLowerCase() : format),
          z.enum(RESULT_FORMATS, `expected one of ${RESULT_FORMATS.join(', ')}`).default('json')
        )
      }),
      response: {
        200: { description: 'In the format that was asked for', content: RESULT_CONTENT },
        ...problems('SC_NOT_FOUND', 'SC_NOT_FINISHED', 'SC_NO_RESULT')
      }
    },
    handler: async (request, reply) => {
      const { jobId } = request.params
      const job = await findTranscription(deps, jobId)
      const refusal = whyNoResult(job)
      if (refusal) return await sendProblem(reply, refusal, { jobStatus: job.status })
      const key = `files/${jobId}/transcription.json`
      const { format } = request.query
      if (format === 'json')
        return reply
          .type('application/json; charset=utf-8')
          .send(await deps.blobs.get(key, { signal: untilDisconnect(reply) }))
      const [task, bytes] = await Promise.all([taskOf(deps, jobId), deps.blobs.size(key)])
      const path = deps.blobs.localPath?.(key)
      const asker = { keyId: callerOf(request).keyId, signal: () => untilDisconnect(reply) }
      const { contentType, body } =
        bytes > MOST_RENDERED_HERE_BYTES && path
          ? await deps.checkPool.render(asker, { path, bytes, format, task })
          : renderTranscript(await readTranscript(deps, key), format, task)
      return reply.type(contentType).send(body)
    }
  })

  app.get('/transcribe/:jobId/events', {
    config: { scope: 'read', own: true },
    // Asking for the headers of a stream that does not end would not end.
    exposeHeadRoute: false,
    schema: {
      summary: 'What happens to a transcription, as server-sent events',
      description:
        'Events `status`, `progress`, `segment` (in order of time) and `done`, after which the stream ends. `Last-Event-ID` goes on after that segment.',
      tags,
      params,
      response: {
        200: eventStreamResponse,
        ...problems('SC_NOT_FOUND')
      }
    },
    handler: async (request, reply) => {
      const { jobId } = request.params
      await findTranscription(deps, jobId)
      return await sendEvents(reply, toStream(deps, request, jobId, app.whileAllowed(request, reply)))
    }
  })

  app.delete('/transcribe/:jobId', {
    config: { scope: 'submit' },
    schema: {
      summary: 'Cancel a transcription',
      description: 'Its running units stop within a second. A job that has ended stays as it is.',
      tags,
      params,
      response: { 202: cancelledSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async (request, reply) => {
      const { jobId } = request.params
      await findTranscription(deps, jobId)
      await deps.cancel(jobId)
      const { status } = await findTranscription(deps, jobId)
      return reply.status(202).send({ jobId, status })
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
  for await (const one of jobEvents(deps, jobId, { lastEventId: lastEventIdOf(request), withLogs: false }, signal)) {
    if (one.event === 'status') yield { event: 'status', data: transcriptionSchema.parse(one.data) }
    else if (one.event === 'progress') yield { event: 'progress', data: toChunkProgress(one.data) }
    else if (one.event === 'done') {
      const resultUrl = hasResult(one.data.status) ? `${transcriptionUrlOf(request, jobId)}/result` : null
      yield { event: 'done', data: { ...one.data, resultUrl } }
    } else yield one
  }
}

/** The partial result of a chunk is text. */
function toChunkProgress({ progress, chunks, etaSeconds, partial }: JobProgress) {
  const value = partial?.value
  const text = typeof value === 'object' && value !== null && 'text' in value ? value.text : value
  const shown = partial && typeof text === 'string' && text !== '' ? { chunk: partial.index, text } : undefined
  return { progress, chunks, etaSeconds, ...(shown && { partial: shown }) }
}

async function findTranscription(deps: AppDeps, jobId: string): Promise<JobDescription> {
  const job = await describeJob(deps, jobId)
  if (job?.task === 'transcribe') return job
  throw new ScError('SC_NOT_FOUND', `There is no transcription "${jobId}".`)
}

/** Whether its words were translated. */
async function taskOf({ db }: AppDeps, jobId: string): Promise<TranscriptTask> {
  const job = await db.selectFrom('jobs').select('input').where('id', '=', jobId).executeTakeFirstOrThrow()
  return (job.input as Partial<TranscribeParams>).task ?? 'transcribe'
}

async function readTranscript({ blobs }: AppDeps, key: string): Promise<Transcript> {
  const chunks: Buffer[] = []
  for await (const chunk of (await blobs.get(key)) as AsyncIterable<Buffer>) chunks.push(chunk)
  return JSON.parse(Buffer.concat(chunks).toString('utf8')) as Transcript
}

const RESULT_CONTENT = {
  'application/json': {
    schema: z.any().meta({ type: 'object', description: 'transcription.json, or verbose_json as OpenAI has it' })
  },
  'text/plain': { schema: z.string() },
  'application/x-subrip': { schema: z.string() },
  'text/vtt': { schema: z.string() },
  'text/tab-separated-values': { schema: z.string() }
}
