import { execFile, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { REPO_DIR } from '../packages/shared/src/config.ts'
import { findFfmpeg } from '../packages/shared/src/ffmpeg-path.ts'
import { describeMachine, spread } from './figures.ts'
import type { LongRun, ShortRuns } from './planning-run.ts'

/**
 * How fast a recording becomes chunks: `node bench/planning.ts`. The thread for voice activity is started beforehand, as
 * the master does. Each measurement is a process of its own, held to one core or to two.
 */
const RUNS = 5
const LONG_SECONDS = 3 * 3600

async function main(): Promise<void> {
  const ffmpegPath = await findFfmpeg()
  const { stdout } = await promisify(execFile)(ffmpegPath, ['-version'])
  console.log(`${describeMachine()}, ${stdout.split(' Copyright')[0]}`)
  const dir = await mkdtemp(join(tmpdir(), 'sc-bench-planning-'))
  try {
    const recording = await findRecording(ffmpegPath, dir)
    console.log(`recording: ${recording.name}; x real time, median (least to most)`)
    for (const cores of [1, 2].filter(count => count <= availableParallelism())) {
      const runs = (await measure(cores, 'short', ffmpegPath, recording.path, String(RUNS))) as ShortRuns
      console.log(`${cores} core${cores > 1 ? 's' : ''}:`)
      console.log(`  planning        ${spread(runs.planning)}`)
      console.log(`  ffmpeg alone    ${spread(runs.decoding)}`)
      console.log(`  network alone   ${spread(runs.hearing)}`)
    }
    const long = join(dir, 'long.ogg')
    const looped = ['-stream_loop', '-1', '-i', recording.path, '-t', String(LONG_SECONDS), '-c', 'copy', long]
    await promisify(execFile)(ffmpegPath, ['-nostdin', '-v', 'error', ...looped])
    const run = (await measure(2, 'long', ffmpegPath, long)) as LongRun
    console.log(
      `3 h of it, 2 cores: first chunk after ${run.firstChunkSeconds.toFixed(2)} s, ${run.speed.toFixed(0)} x real time,`
    )
    console.log(`  memory grows by ${run.grownMb.toFixed(0)} MB at most (from ${run.beforeMb.toFixed(0)} MB)`)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

/** Five minutes of speech beside the checkout, or made from a sample. */
async function findRecording(ffmpegPath: string, dir: string): Promise<{ name: string; path: string }> {
  const beside = join(REPO_DIR, '../shared/audio/en-long.ogg')
  if (existsSync(beside)) return { name: 'en-long.ogg', path: beside }
  const path = join(dir, 'sample.ogg')
  const looped = ['-stream_loop', '-1', '-i', join(REPO_DIR, 'samples/jfk.wav'), '-t', '300', '-c:a', 'libopus', path]
  await promisify(execFile)(ffmpegPath, ['-nostdin', '-v', 'error', ...looped])
  return { name: 'samples/jfk.wav, repeated for 300 s as Opus', path }
}

/** Runs planning-run.ts on that many cores. */
async function measure(cores: number, ...args: string[]): Promise<unknown> {
  const pinned = process.platform === 'linux' ? ['taskset', '-c', cores === 1 ? '0' : `0-${cores - 1}`] : []
  const [program = process.execPath, ...rest] = [
    ...pinned,
    process.execPath,
    join(import.meta.dirname, 'planning-run.ts'),
    ...args
  ]
  const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  for await (const text of child.stdout.setEncoding('utf8')) output += text
  return JSON.parse(output)
}

await main()
