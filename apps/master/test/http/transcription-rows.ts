import { randomUUID } from 'node:crypto'
import { type ChunkOutput, SAMPLE_RATE } from '@sc/shared/transcription.ts'
import type { Insertable } from 'kysely'
import type { Database, JobsTable, UnitStatus } from '../../src/database/schema.ts'
import { notifyJob } from '../../src/jobs/settle.ts'

/** Rows as the engine writes them, written by a test instead. */
export async function insertTranscription(db: Database, columns: Partial<Insertable<JobsTable>> = {}): Promise<string> {
  const id = randomUUID()
  await db
    .insertInto('jobs')
    .values({ id, task: 'transcribe', input: JSON.stringify({ model: 'auto' }), key_id: 'test', ...columns })
    .execute()
  return id
}

export const CHUNK_SECONDS = 10

/** A chunk of 10 s with one window; `texts` are its segments, one second each. */
export async function insertChunk(
  db: Database,
  jobId: string,
  index: number,
  chunk: { status: UnitStatus; texts?: string[]; fraction?: number; queue?: string }
): Promise<void> {
  const { status, texts = [], fraction = 0, queue = 'cpu' } = chunk
  const samples = CHUNK_SECONDS * SAMPLE_RATE
  const isDone = status === 'DONE'
  await db
    .insertInto('units')
    .values({
      id: `${jobId}.chunk.${index}`,
      job_id: jobId,
      task: 'transcribe.chunk',
      index,
      queue,
      status,
      input_ref: `units/${jobId}/chunk-${index}.wav`,
      params: JSON.stringify({ windows: [{ start: 0, end: samples, speech: [], overlap: 0 }] }),
      span: JSON.stringify({ startSample: index * samples, endSample: (index + 1) * samples }),
      seconds: CHUNK_SECONDS,
      deadline_ms: 60_000,
      attempt_id: status === 'QUEUED' ? null : 'a-1',
      fraction: isDone ? 1 : fraction,
      output: isDone ? JSON.stringify(outputOf(texts)) : null
    })
    .execute()
  await notifyJob(db, jobId)
}

export async function finishChunk(db: Database, jobId: string, index: number, texts: string[]): Promise<void> {
  await db
    .updateTable('units')
    .set({ status: 'DONE', fraction: 1, output: JSON.stringify(outputOf(texts)) })
    .where('id', '=', `${jobId}.chunk.${index}`)
    .execute()
  await notifyJob(db, jobId)
}

export async function changeJob(db: Database, jobId: string, set: Parameters<typeof update>[2]): Promise<void> {
  await update(db, jobId, set)
  await notifyJob(db, jobId)
}

async function update(db: Database, jobId: string, set: Partial<Insertable<JobsTable>>): Promise<void> {
  await db
    .updateTable('jobs')
    .set(set as object)
    .where('id', '=', jobId)
    .execute()
}

function outputOf(texts: string[]): ChunkOutput {
  const segments = texts.map((text, at) => ({
    start: at,
    end: at + 1,
    text,
    words: [{ word: text, start: at, end: at + 1, probability: 0.9 }],
    avg_logprob: -0.2,
    no_speech_prob: 0.01,
    compression_ratio: 1.2,
    temperature: 0
  }))
  return {
    windows: [{ language: 'en', language_probability: 0.99, segments, quality: [] }],
    model: 'base',
    device: 'cpu',
    compute_type: 'int8'
  }
}
