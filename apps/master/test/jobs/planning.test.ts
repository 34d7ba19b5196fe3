/** Two recordings of 25 h of silence beside short ones, all of it real. */
import { randomUUID } from 'node:crypto'
import { copyFile, mkdir, open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { REPO_DIR } from '@sc/shared/config.ts'
import { findFfmpeg } from '@sc/shared/ffmpeg-path.ts'
import { sql } from 'kysely'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import type { Engine } from '../../src/jobs/engine.ts'
import { createTranscription } from '../../src/transcription/job.ts'
import { openVoiceActivity, type VoiceActivity } from '../../src/transcription/voice-activity.ts'
import { wavHeader } from '../http/recordings.ts'
import { type ClusterOfOne, startClusterOfOne } from './cluster-of-one.ts'

const SILENCE_BYTES = 25 * 3600 * 32_000
let world: ClusterOfOne
let engine: Engine
let voiceActivity: VoiceActivity
beforeAll(async () => {
  voiceActivity = openVoiceActivity()
  const ffmpegPath = await findFfmpeg()
  world = await startClusterOfOne({
    definitions: blobs => [
      createTranscription({
        blobs,
        ffmpegPath,
        spoolDir: world.folder,
        voiceActivity,
        defaultModel: 'base',
        hasGpu: () => false
      })
    ]
  })
  engine = await world.startMaster()
}, 60_000)
afterAll(async () => {
  await engine?.stop()
  await world?.release()
  await voiceActivity?.close()
})

async function submit(keyId: string, seconds: number, put: (path: string) => Promise<void>): Promise<string> {
  const jobId = randomUUID()
  const blobKey = `files/${jobId}/recording.wav`
  const path = world.blobs.localPath?.(blobKey) as string
  await mkdir(dirname(path), { recursive: true })
  await put(path)
  const params = { model: 'base', language: 'en', task: 'transcribe', chunk_seconds: 150, priority: 0, channel: 'mix' }
  await engine.submit({
    jobId,
    params: { ...params, word_timestamps: true } as never,
    keyId,
    idempotencyKey: null,
    requestHash: '',
    sourceFile: 'recording.wav',
    blobKey,
    declaredSeconds: seconds
  })
  return jobId
}

/** Without a byte on the disk. */
async function putSilence(path: string): Promise<void> {
  await using file = await open(path, 'w')
  await file.write(wavHeader(SILENCE_BYTES))
  await file.truncate(44 + SILENCE_BYTES)
}

it('a short recording is planned while both are, whoever has sent it', async () => {
  const long = [await submit('a', 25 * 3600, putSilence), await submit('a', 25 * 3600, putSilence)]
  const leases = () => world.db.selectFrom('plans').select('job_id').execute()
  await vi.waitFor(async () => expect(await leases()).toHaveLength(2), { timeout: 20_000, interval: 20 })
  const speech = (path: string) => copyFile(join(REPO_DIR, 'samples/jfk.wav'), path)
  for (const keyId of ['b', 'a']) {
    const jobId = await submit(keyId, 11, speech)
    await vi.waitFor(async () => expect((await world.job(jobId)).planned).toBe(true), { timeout: 60_000, interval: 20 })
    expect(await world.units(jobId)).toHaveLength(1)
    for (const id of long) expect(await world.job(id)).toMatchObject({ planned: false, error: null })
  }
  // As where a recording kills each master that plans it.
  await sql`
    update plans set owner = 'two/killed', tries = 3, until = now() - interval '1 second' where job_id = ${long[0]}`.execute(
    world.db
  )
  await vi.waitFor(async () => expect((await world.job(long[0] as string)).status).toBe('FAILED'), {
    timeout: 20_000,
    interval: 50
  })
  const { error } = await world.job(long[0] as string)
  expect(error).toMatchObject({ code: 'SC_INTERNAL', detail: expect.stringContaining('begun again and again') })
}, 120_000)
