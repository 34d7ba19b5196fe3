import { randomUUID } from 'node:crypto'
import { rm } from 'node:fs/promises'
import { dataDir } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { hashOfRequest } from '../../jobs/request-hash.ts'
import { isJob } from '../../jobs/submit.ts'
import { createTurns, type Turns } from '../../jobs/turns.ts'
import { probeRecording } from '../../transcription/ffmpeg.ts'
import { parseTranscribeParams, type TranscribeParams, transcribeParamsSchema } from '../../transcription/params.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { callerOf } from '../auth.ts'
import { blobNameOf, shownNameOf } from '../blob-name.ts'
import { untilDisconnect } from '../disconnect.ts'
import { readIdempotencyKey } from '../idempotency-key.ts'
import { problems } from '../problem.ts'
import { receiveUpload, type Upload } from '../receive-upload.ts'
import { submittedSchema, transcriptionUrlOf } from '../schemas.ts'

/** What a file makes ffmpeg do is known only afterwards: so few do it at once, one of each key. */
const PROBES_AT_ONCE = 2

/** `POST /transcribe`: the upload to the disk, a look whether it is audio, the blob store, the job, 202. */
export function addSubmitTranscription(app: App, deps: AppDeps): void {
  const { chunkSeconds, maxUploadBytes, modelsDir } = deps.config
  const paramsSchema = transcribeParamsSchema(chunkSeconds)
  const fieldNames = Object.keys(paramsSchema.shape)
  const spoolDir = dataDir(deps.config.dataDir).spool
  const probes = createTurns({ atOnce: PROBES_AT_ONCE, oneOfKey: true })

  app.route({
    method: 'POST',
    url: '/transcribe',
    config: { scope: 'submit' },
    // The form is read as a stream, and its fields are checked once they are all there.
    validatorCompiler: () => value => ({ value }),
    schema: {
      summary: 'Submit a recording to be transcribed',
      description: `A multipart form: \`file\` (up to ${maxUploadBytes} bytes) and optional fields, in any order. With a header \`Idempotency-Key\`, the same request sent again answers with the same job.`,
      tags: ['transcription'],
      consumes: ['multipart/form-data'],
      querystring: paramsSchema.partial().describe('Fields of the form may stand here, too'),
      body: paramsSchema.extend({ file: z.file().describe('The recording') }),
      response: {
        202: submittedSchema,
        ...problems(
          'SC_NO_FILE',
          'SC_UNKNOWN_MODEL',
          'SC_FILE_TOO_LARGE',
          'SC_IDEMPOTENCY_CONFLICT',
          'SC_NOT_AUDIO',
          'SC_NO_AUDIO_TRACK',
          'SC_NO_SUCH_TRACK',
          'SC_NO_SUCH_CHANNEL',
          'SC_LANGUAGE_NOT_SUPPORTED',
          'SC_OVERLOADED',
          'SC_DISK_FULL'
        )
      }
    },
    handler: async (request, reply) => {
      const idempotencyKey = readIdempotencyKey(request)
      const signal = untilDisconnect(reply)
      const limits = { spoolDir, disk: deps.room.disk, maxBytes: maxUploadBytes, fieldNames, signal }
      const upload = await receiveUpload(request, limits)
      try {
        // Storing a large file may take longer than a connection may be silent.
        request.socket.setTimeout?.(0)
        const params = await parseTranscribeParams(
          { ...inQuery(request.query), ...upload.fields },
          { chunkSeconds, modelsDir }
        )
        const submitted = { upload, params, idempotencyKey, probes, signal }
        const { jobId, status, blobKey } = await submit(deps, request, submitted)
        const url = transcriptionUrlOf(request, jobId)
        reply.status(202).header('location', `/transcribe/${jobId}`)
        return {
          jobId,
          submissionId: jobId,
          status,
          blobPath: blobKey,
          resultPath: `files/${jobId}/transcription.json`,
          statusUrl: url,
          resultUrl: `${url}/result`,
          eventsUrl: `${url}/events`
        }
      } finally {
        await rm(upload.folder, { recursive: true, force: true })
      }
    }
  })
}

/** As the form has them. */
function inQuery(query: object): Record<string, string> {
  for (const [name, value] of Object.entries(query))
    if (typeof value !== 'string') throw new ScError('SC_BAD_REQUEST', `${name} stands in the query more than once.`)
  return query as Record<string, string>
}

interface Submitted {
  upload: Upload
  params: TranscribeParams
  idempotencyKey: string | null
  probes: Turns
  signal: AbortSignal
}

async function submit(
  deps: AppDeps,
  request: FastifyRequest,
  { upload, params, idempotencyKey, probes, signal }: Submitted
) {
  const { keyId } = callerOf(request)
  const declaredSeconds = await probe(deps, keyId, { upload, params, probes, signal })
  const jobId = randomUUID()
  const blobKey = `files/${jobId}/${blobNameOf(upload.fileName)}`
  await deps.blobs.putFile(blobKey, upload.path, { signal })
  try {
    const submitted = await deps.submit({
      jobId,
      params,
      keyId,
      idempotencyKey,
      requestHash: hashOfRequest([params, upload.sha256]),
      sourceFile: shownNameOf(upload.fileName),
      blobKey,
      declaredSeconds
    })
    if (!submitted.existing) return { jobId, status: 'PENDING' as const, blobKey }
    await deps.blobs.removePrefix(`files/${jobId}`)
    return await standingOf(deps, submitted.jobId)
  } catch (error) {
    // A job whose row was written keeps its recording: the reconciler will plan it.
    if (!(await isJob(deps.db, jobId))) await deps.blobs.removePrefix(`files/${jobId}`)
    throw error
  }
}

async function probe(
  { ffmpegPath }: AppDeps,
  keyId: string,
  { upload, params, probes, signal }: Pick<Submitted, 'upload' | 'params' | 'probes' | 'signal'>
): Promise<number | null> {
  const turn = probes.enter(keyId)
  try {
    await turn.next(signal)
    const { channel, track } = params
    const found = await probeRecording({ ffmpegPath, path: upload.path, track: track ?? undefined, channel, signal })
    return found.declaredSeconds
  } finally {
    turn.leave()
  }
}

async function standingOf({ db }: AppDeps, jobId: string) {
  const job = await db
    .selectFrom('jobs')
    .select(['status', 'blob_key'])
    .where('id', '=', jobId)
    .executeTakeFirstOrThrow()
  return { jobId, status: job.status, blobKey: job.blob_key ?? '' }
}
