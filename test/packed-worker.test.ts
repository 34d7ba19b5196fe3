import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { childEnv } from '@sc/shared/config.ts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SAMPLES } from './audio.ts'
import { type Cluster, startCluster, until } from './cluster.ts'

/** The line for a machine without the project, run as it is on an empty folder: the worker comes from the master. */

let cluster: Cluster
const home = mkdtempSync(join(tmpdir(), 'sc-packed-'))
const pasted: ChildProcess[] = []
const installed = join(home, 'sc-worker')

beforeAll(async () => {
  cluster = await startCluster({ workers: 0 })
})
afterAll(async () => {
  for (const { exitCode, signalCode, pid } of pasted)
    if (exitCode === null && signalCode === null) process.kill(-(pid as number), 'SIGKILL')
  await cluster.stop()
  rmSync(home, { recursive: true, force: true })
})

interface Join {
  alternatives: Array<{ title: string; command: string }>
}

async function lineFor(title: RegExp): Promise<string> {
  const { alternatives } = await cluster.json<Join>('/api/cluster/join-codes', { method: 'POST' })
  const found = alternatives.find(alternative => title.test(alternative.title))
  if (!found) throw new Error(`no alternative is for ${title}`)
  return found.command
}

/** As pasted into a shell, with the caches of the package managers where they are. */
function paste(line: string) {
  const child = spawn('sh', ['-c', line], {
    cwd: home,
    env: childEnv({ SC_MODELS_DIR: join(home, 'models') }),
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true
  })
  const output = Promise.all([text(child.stdout), text(child.stderr)]).then(texts => texts.join(''))
  const ended = once(child, 'exit').then(async ([exitCode]) => ({ exitCode, output: await output }))
  pasted.push(child)
  const stop = (): typeof ended => {
    process.kill(-(child.pid as number), 'SIGINT')
    return ended
  }
  return { ended, stop, child }
}

test('a machine with Node and Python becomes a worker that transcribes, and a new line updates it', async () => {
  const line = await lineFor(/Linux/)
  const worker = paste(`${line} -s -- --dir ${installed} --name packed`)
  const id = await until('the worker is online', 300_000, async () => {
    if (worker.child.exitCode !== null) throw new Error((await worker.ended).output)
    return await idOnline()
  })
  const { document } = await cluster.transcribe(join(SAMPLES, 'jfk.wav'), { model: 'base' })
  expect(document.transcription).toMatch(/what your country can do for you/i)

  expect(await paste(line).ended).toEqual({
    exitCode: 1,
    output: expect.stringMatching(/used this join code already: make a new one with `sc join`/)
  })
  const again = await lineFor(/Linux/)
  expect(await paste(`${again} -s -- --dir ${installed}`).ended).toEqual({
    exitCode: 1,
    output: expect.stringMatching(/a worker of .* runs \(process \d+\)\. Stop it/)
  })
  expect((await worker.stop()).output).toContain('From now on, this starts it')

  const leftOver = join(installed, 'apps/worker/src/left-over.ts')
  writeFileSync(leftOver, '')
  const updated = await paste(`${again} -s -- --dir ${installed} --name packed --no-start`).ended
  expect(updated).toEqual({ exitCode: 0, output: expect.stringContaining('Installed.') })
  expect(existsSync(leftOver)).toBe(false)

  // An update that ends in the middle: what is installed does not count as whole.
  const broken = await paste(`${again} -s -- --dir ${installed} --name packed --concurrency many`).ended
  expect(broken).toEqual({ exitCode: 1, output: expect.stringMatching(/--concurrency many/) })
  expect(existsSync(join(installed, '.cache/python.stamp'))).toBe(false)
  const later = paste(`${installed}/sc-worker run --name packed`)
  expect(await until('it is online again', 60_000, idOnline)).toBe(id)
  await later.stop()
})

/** Undefined: it is not online. */
async function idOnline(): Promise<string | undefined> {
  const { items } = await cluster.json<{ items: Array<{ id: string; status: string }> }>('/api/workers')
  return items.find(({ status }) => status === 'online')?.id
}
