import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setImmediate } from 'node:timers/promises'
import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { toScError } from '@sc/shared/errors.ts'
import type { DecodeParams, Window } from '@sc/shared/transcription.ts'
import type { Gap, JobRow } from '../database/schema.ts'
import type { JobDefinition, JobOutcome, PlanContext, StoredInput, UnitDraft } from '../jobs/definition.ts'
import type { UnitToMerge } from '../jobs/units-to-merge.ts'
import { CHUNK_TASK, DETECT_TASK, readChunkOutput, readDetectOutput, windowsOf } from './check-output.ts'
import { chooseModel, detectionModel, type ModelQuestion } from './choose-model.ts'
import { type ChunkResult, mergeTranscript } from './merge.ts'
import type { TranscribeParams } from './params.ts'
import { type EndStep, type PlanStep, planRecording } from './plan-recording.ts'
import type { VoiceActivity } from './voice-activity.ts'

export interface TranscriptionDeps {
  blobs: BlobStore
  ffmpegPath: string
  /** Folder for what ffmpeg must read from a disk. */
  spoolDir: string
  /** Started with the master, so that no recording waits for it. */
  voiceActivity: VoiceActivity
  defaultModel: string | undefined
  /** Whether a worker of the cluster has a GPU. */
  hasGpu(): boolean
}

/** A chunk of 150 s takes a slow CPU with a large model minutes, never this long. */
const CHUNK_DEADLINE_MS = 60 * 60_000
const DETECT_DEADLINE_MS = 5 * 60_000

/** What `plan` keeps for `merge`. */
interface PlanSummary extends Record<string, unknown> {
  durationSeconds: number
  windows: number
  warnings: EndStep['warnings']
  /** Missing: planned by a master of before. */
  track?: EndStep['track']
}

/** Transcription as a job: a recording becomes chunks, their words become one transcript. */
export function createTranscription(deps: TranscriptionDeps): JobDefinition {
  return {
    task: 'transcribe',
    plan: (job, context) => plan(deps, job, context),
    merge: async (job, units) => await merge(deps, job, await units.all())
  }
}

async function* plan(
  deps: TranscriptionDeps,
  job: JobRow,
  context: PlanContext
): AsyncGenerator<UnitDraft, PlanSummary> {
  const params = paramsOf(job)
  const queue = deps.hasGpu() ? 'gpu' : 'cpu'
  const local = await openLocally(deps, job, context.signal)
  let decode: DecodeParams | undefined
  let probe: { stored: StoredInput; windows: Window[] } | undefined
  try {
    const steps = planRecording({
      ffmpegPath: deps.ffmpegPath,
      path: local.path,
      // A job of before has none.
      track: params.track ?? undefined,
      channel: params.channel,
      chunkSeconds: params.chunk_seconds,
      voiceActivity: deps.voiceActivity,
      turn: context.turn,
      signal: context.signal
    })
    for await (const step of steps) {
      if (step.kind === 'probe') {
        probe = { stored: await context.store('probe.wav', step.wav), windows: step.windows }
        decode = await decideHow(deps, job, context, probe, queue)
      } else if (step.kind === 'chunk') {
        if (!decode || !probe) throw new Error('a chunk came before the probe')
        const stored = await context.store(`chunk-${String(step.index).padStart(5, '0')}.wav`, step.wav)
        yield toDraft(step, stored, decode, probe, queue)
      } else {
        await context.learned({ durationSeconds: step.durationSeconds })
        const { durationSeconds, windows, warnings, track } = step
        return { durationSeconds, windows, warnings, track }
      }
    }
  } finally {
    await local.release()
  }
  throw new Error('the plan of a recording ended without its last step')
}

/** Checked when the job was submitted. */
function paramsOf(job: JobRow): TranscribeParams {
  return job.input as TranscribeParams
}

/** ffmpeg reads files only; a blob that is elsewhere is copied here first. */
async function openLocally(
  deps: TranscriptionDeps,
  job: JobRow,
  signal: AbortSignal
): Promise<{ path: string; release(): Promise<void> }> {
  const key = job.blob_key as string
  const path = deps.blobs.localPath?.(key)
  if (path) return { path, release: async () => {} }
  const folder = join(deps.spoolDir, `plan-${job.id}`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const copy = join(folder, 'recording')
  await pipeline(await deps.blobs.get(key, { signal }), createWriteStream(copy, { mode: 0o600 }))
  return { path: copy, release: async () => await rm(folder, { recursive: true, force: true }) }
}

/** Which model and language; a `transcribe.detect` unit runs only when the model depends on the language. */
async function decideHow(
  deps: TranscriptionDeps,
  job: JobRow,
  context: PlanContext,
  probe: { stored: StoredInput; windows: Window[] },
  queue: string
): Promise<DecodeParams> {
  const { model: requested, language, task, prompt, hotwords, temperature } = paramsOf(job)
  const question: ModelQuestion = { requested, language, hasGpu: deps.hasGpu(), defaultModel: deps.defaultModel }
  const decide = (model: string): DecodeParams => ({ model, task, language, prompt, hotwords, temperature })
  let model = chooseModel(question)
  if (model === null) {
    const draft = toDetectDraft(probe, detectionModel(question), queue)
    const detected = readDetectOutput(await context.run(draft))
    model = chooseModel({ ...question, language: detected.language }) as string
    await context.learned({ model, language: detected.language })
  } else {
    await context.learned({ model, ...(language && { language }) })
  }
  return decide(model)
}

function toDraft(
  step: Extract<PlanStep, { kind: 'chunk' }>,
  input: StoredInput,
  decode: DecodeParams,
  probe: { stored: StoredInput; windows: Window[] },
  queue: string
): UnitDraft {
  const { index, startSample, endSample, windows } = step
  // With the language given there is nothing to detect, and equal audio gives equal units whatever surrounds it.
  const needsProbe = decode.language === null
  return {
    task: CHUNK_TASK,
    index,
    queue,
    input,
    params: { ...decode, windows, probeWindows: needsProbe ? probe.windows : [] },
    blobs: needsProbe ? { probe: probe.stored } : {},
    span: { startSample, endSample },
    seconds: windows.reduce((sum, { start, end }) => sum + (end - start), 0) / 16_000,
    deadlineMs: CHUNK_DEADLINE_MS
  }
}

function toDetectDraft(probe: { stored: StoredInput; windows: Window[] }, model: string, queue: string): UnitDraft {
  return {
    task: DETECT_TASK,
    index: 0,
    queue,
    input: probe.stored,
    params: { model, windows: probe.windows },
    blobs: {},
    span: {},
    seconds: 0,
    deadlineMs: DETECT_DEADLINE_MS
  }
}

async function merge(deps: TranscriptionDeps, job: JobRow, units: UnitToMerge[]): Promise<JobOutcome> {
  const params = paramsOf(job)
  const summary = job.plan_summary as PlanSummary
  const chunks: ChunkResult[] = []
  for (const unit of units.filter(({ task }) => task === CHUNK_TASK)) {
    chunks.push(toChunkResult(unit))
    // Reading those of three hours takes half a second.
    await setImmediate()
  }
  const document = mergeTranscript({
    jobId: job.id,
    sourceFile: job.source_file ?? '',
    createdAt: job.created_at,
    model: job.model ?? params.model,
    chunkSeconds: params.chunk_seconds,
    wordTimestamps: params.word_timestamps,
    durationSeconds: summary.durationSeconds,
    windows: summary.windows,
    warnings: summary.warnings,
    track: summary.track,
    chunks
  })
  const failed = chunks.filter(chunk => chunk.output === null)
  const status = failed.length === 0 ? 'COMPLETED' : failed.length < chunks.length ? 'PARTIAL' : 'FAILED'
  if (status !== 'FAILED') {
    await setImmediate()
    await deps.blobs.put(`files/${job.id}/transcription.json`, Buffer.from(JSON.stringify(document)))
  }
  return {
    status,
    error: status === 'FAILED' ? (failed[0]?.error ?? null) : null,
    gaps: document.gaps as Gap[],
    language: document.languages[0]?.language ?? job.language
  }
}

/** What was accepted by a master of before may be no answer to its unit: then it is a gap, not the end of the job. */
export function toChunkResult(
  unit: Pick<UnitToMerge, 'index' | 'status' | 'params' | 'span' | 'output' | 'error'>
): ChunkResult {
  const span = unit.span as { startSample: number; endSample: number }
  const windows = windowsOf(unit.params)
  const { output, error } =
    unit.status === 'DONE' ? readDone(windows, unit.output) : { output: null, error: unit.error }
  return { index: unit.index, ...span, windows, output, error }
}

function readDone(windows: Window[], output: unknown): Pick<ChunkResult, 'output' | 'error'> {
  try {
    return { output: readChunkOutput(windows, output), error: null }
  } catch (thrown) {
    return { output: null, error: toScError(thrown).toReport() }
  }
}
