import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { REPO_DIR } from '@sc/shared/config.ts'

/** Ray and Celery in an environment of their own, made at the first run: `.cache/bench-peers`. */
const HOME = join(REPO_DIR, '.cache/bench-peers')
const PYTHON = join(HOME, 'bin/python')
const REQUIREMENTS = join(import.meta.dirname, 'requirements-peers.txt')
const UV = join(REPO_DIR, '.cache/uv/bin/uv')

export interface PeerFigures {
  /** Tasks in a second, many at once. */
  throughput: number
  /** Submit to started, one at a time, in ms. */
  latencies: number[]
  version: string
}

export type RayFigures = PeerFigures & { actorCalls: number }

export async function installPeers(say: (text: string) => void): Promise<void> {
  const uv = existsSync(UV) ? UV : 'uv'
  if (!existsSync(PYTHON)) {
    say('installing Ray and Celery into .cache/bench-peers')
    await run(uv, ['venv', '--python', join(REPO_DIR, '.venv/bin/python'), HOME])
  }
  await run(uv, ['pip', 'install', '--quiet', '--python', HOME, '--require-hashes', '-r', REQUIREMENTS])
}

export async function measureRay(count: number): Promise<RayFigures> {
  return JSON.parse(lastLine(await run(PYTHON, [join(import.meta.dirname, 'ray_loop.py'), String(count)])))
}

export async function measureCelery(redisUrl: string, count: number): Promise<PeerFigures> {
  return JSON.parse(lastLine(await run(PYTHON, [join(import.meta.dirname, 'celery_loop.py'), redisUrl, String(count)])))
}

export async function measureBullmq(redisUrl: string, count: number): Promise<PeerFigures & { processing: number }> {
  const script = join(import.meta.dirname, 'raw-bullmq.ts')
  return JSON.parse(lastLine(await run(process.execPath, [script, redisUrl, String(count)])))
}

async function run(file: string, args: string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(file, args, { cwd: REPO_DIR, maxBuffer: 64 * 1024 ** 2 })
  return stdout
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? ''
}
