import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { REPO_DIR } from '@sc/shared/config.ts'
import { type ChunkParams, chunkOutputSchema } from '@sc/shared/transcription.ts'
import { expect, test } from 'vitest'
import { pythonCommand } from '../src/python/command.ts'
import { until } from './fixtures/children.ts'
import { openCluster, unit } from './fixtures/open-cluster.ts'

/** The samples of a WAV file behind the plain header of 44 bytes that chunks have. */
function plainWav(file: Buffer): Buffer {
  const at = file.indexOf('data')
  const data = file.subarray(at + 8)
  const header = Buffer.concat([file.subarray(0, 36), file.subarray(at, at + 8)])
  header.write('fmt ', 12)
  header.writeUInt32LE(36 + data.length, 4)
  header.writeUInt32LE(data.length, 40)
  return Buffer.concat([header, data])
}

test.skipIf(!existsSync(pythonCommand().file))('transcribes a chunk', { timeout: 90_000 }, async () => {
  const wav = plainWav(readFileSync(join(REPO_DIR, 'samples/jfk.wav')))
  const samples = (wav.length - 44) / 2
  const master = createServer((_request, response) => response.end(wav)).listen(0, '127.0.0.1')
  await once(master, 'listening')
  const cluster = await openCluster()
  await cluster.start(
    {},
    {
      planner: () => [{ id: 'cpu0', device: 'cpu', classes: ['cpu'] }],
      python: pythonCommand(),
      modelsDir: join(REPO_DIR, '.cache/models'),
      masterUrl: `http://127.0.0.1:${(master.address() as AddressInfo).port}`
    }
  )
  const params: ChunkParams = {
    model: 'base',
    task: 'transcribe',
    language: 'en',
    prompt: null,
    hotwords: null,
    temperature: 0,
    windows: [{ start: 0, end: samples, speech: [[0, samples]], overlap: 0 }],
    probeWindows: [],
    blobs: {}
  }
  const chunk = { ...unit('u', 'transcribe.chunk'), inputRef: 'chunks/1.wav', params, deadline: 80_000 }
  cluster.send('cpu', [chunk])
  const ends = async () => (await cluster.said()).filter(({ type }) => type === 'result' || type === 'error')
  await until(async () => (await ends()).length > 0)
  const [last] = await ends()
  await cluster.stopWorkers()
  await cluster.close()
  master.close()
  if (last?.type !== 'result') throw new Error(JSON.stringify(last))
  const [window] = chunkOutputSchema.parse(last.output).windows
  expect(window?.segments.map(segment => segment.text).join(' ')).toMatch(/ask not what your country can do for you/i)
})
