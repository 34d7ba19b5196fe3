import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { promisify } from 'node:util'
import { REPO_DIR } from '@sc/shared/config.ts'
import { findFfmpeg } from '@sc/shared/ffmpeg-path.ts'
import { type EndStep, type PlanOptions, planRecording } from '../../src/transcription/plan-recording.ts'
import { openVoiceActivity } from '../../src/transcription/voice-activity.ts'

/** 11 s of speech, 16 kHz mono. */
export const SPEECH = joinPath(REPO_DIR, 'samples/jfk.wav')
/** Louder than what codecs leave around speech. */
const LOUD = 1_500
const PAUSE_SECONDS = 0.5

/** A plan, as far as tests look at it: what is heard where. */
export interface PlannedFile extends EndStep {
  /** Of what is louder than `LOUD`, the beginning and the end of each part between pauses of `PAUSE_SECONDS`. */
  readonly heard: [number, number][]
}

/** Files in a folder of their own, made by ffmpeg, and their plans. */
export async function openRecordings() {
  const dir = await mkdtemp(joinPath(tmpdir(), 'sc-files-'))
  const ffmpegPath = await findFfmpeg()
  const voiceActivity = openVoiceActivity()
  const at = (name: string) => joinPath(dir, name)

  /** Runs ffmpeg to make the file `name`; answers its path. */
  async function make(name: string, ...args: string[]): Promise<string> {
    await promisify(execFile)(ffmpegPath, ['-nostdin', '-v', 'error', '-y', ...args, at(name)])
    return at(name)
  }

  /** The bytes of all, one after the other. */
  async function join(name: string, ...paths: string[]): Promise<string> {
    await writeFile(at(name), Buffer.concat(await Promise.all(paths.map(path => readFile(path)))))
    return at(name)
  }

  async function plan(path: string, options: Partial<PlanOptions> = {}): Promise<PlannedFile> {
    const heard: [number, number][] = []
    for await (const step of planRecording({ ffmpegPath, path, chunkSeconds: 60, voiceActivity, ...options })) {
      if (step.kind === 'chunk') addLoud(heard, step.wav.subarray(44), step.startSample)
      if (step.kind === 'end') return { ...step, heard }
    }
    throw new Error('the plan has no end')
  }

  return {
    at,
    ffmpegPath,
    make,
    join,
    plan,
    async close() {
      await voiceActivity.close()
      await rm(dir, { recursive: true, force: true })
    }
  }
}
export type Recordings = Awaited<ReturnType<typeof openRecordings>>

function addLoud(heard: [number, number][], pcm: Buffer, startSample: number): void {
  for (let at = 0; at + 1 < pcm.length; at += 2) {
    if (Math.abs(pcm.readInt16LE(at)) < LOUD) continue
    const second = (startSample + at / 2) / 16_000
    const last = heard.at(-1)
    if (last && second - last[1] < PAUSE_SECONDS) last[1] = Math.max(last[1], second)
    else heard.push([second, second])
  }
}

/** The parts of `heard` that begin at `from` or later, all moved by `seconds`. */
export function moved(heard: readonly [number, number][], seconds: number, from = 0): [number, number][] {
  return heard.map(([start, end]) => (start < from ? [start, end] : [start + seconds, end + seconds]))
}

/** A copy of a file with other bytes in its middle third. */
export async function middleThird(path: string, bytes: (length: number) => Buffer): Promise<Buffer> {
  const file = await readFile(path)
  const third = Math.floor(file.length / 3)
  return Buffer.concat([file.subarray(0, third), bytes(third), file.subarray(2 * third)])
}
