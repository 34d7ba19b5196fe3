import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { REPO_DIR } from '@sc/shared/config.ts'
import { findFfmpeg } from '@sc/shared/ffmpeg-path.ts'

/** Recordings for tests, benches and `pnpm verify`: the samples, and larger ones beside the project where there are any. */
export const SAMPLES = join(REPO_DIR, 'samples')
const SHARED = resolve(REPO_DIR, '../shared/audio')

/** Path of a larger recording beside the project, or null. */
export function sharedAudio(name: string): string | null {
  const path = join(SHARED, name)
  return existsSync(path) ? path : null
}

export interface Joined {
  path: string
  /** Reference text, where each part has one. */
  text: string
}

/**
 * Joins recordings to one 16 kHz FLAC with `pausesSec[i]` (taken in turn) of silence after part i. The same input gives
 * the same samples.
 */
export async function joinRecordings(parts: string[], pausesSec: number[], path: string): Promise<Joined> {
  await mkdir(dirname(path), { recursive: true })
  const inputs = parts.flatMap(part => ['-i', part])
  const legs = parts.map((_, at) => {
    const pauseSec = pausesSec[at % pausesSec.length] ?? 0
    return `[${at}:a]aresample=16000,aformat=channel_layouts=mono,apad=pad_dur=${pauseSec}[p${at}]`
  })
  const graph = `${legs.join(';')};${parts.map((_, at) => `[p${at}]`).join('')}concat=n=${parts.length}:v=0:a=1[out]`
  const output = ['-map', '[out]', '-c:a', 'flac', path]
  await run(['-y', ...inputs, '-filter_complex', graph, ...output])
  const texts = await Promise.all(parts.map(part => readFile(part.replace(/\.\w+$/, '.txt'), 'utf8').catch(() => '')))
  return { path, text: texts.map(text => text.trim()).join(' ') }
}

/** Runs ffmpeg to its end; throws with what it said. */
export async function run(args: string[]): Promise<void> {
  const ffmpeg = await findFfmpeg()
  await promisify(execFile)(ffmpeg, ['-nostdin', '-v', 'error', ...args], { maxBuffer: 1024 ** 2 })
}

/** About `seconds` of speech made of the samples, with pauses of 0.3 to 1.5 s. */
export async function joinSamples(seconds: number, folder: string): Promise<Joined> {
  const names = ['jfk.wav', 'austen-1.wav', 'austen-3.wav']
  const lengthsSec = [11, 4.7, 3.5]
  const parts: string[] = []
  for (let at = 0, length = 0; length < seconds; at++) {
    parts.push(join(SAMPLES, names[at % names.length] as string))
    length += (lengthsSec[at % names.length] as number) + 0.8
  }
  return await joinRecordings(parts, [0.3, 1.5, 0.6], join(folder, `samples-${seconds}.flac`))
}

/** Lower case, no punctuation. */
export function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}']+/gu) ?? []
}

export const nameOf = (path: string): string => basename(path).replace(/\.\w+$/, '')
