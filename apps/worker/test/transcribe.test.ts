import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { REPO_DIR } from '@sc/shared/config.ts'
import { addEntries, closeQueue, openQueue } from '@sc/shared/queues.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'
import { type ChunkParams, chunkOutputSchema } from '@sc/shared/transcription.ts'
import type { OutboxMessage } from '@sc/shared/unit.ts'
import { expect, test } from 'vitest'
import { startRedis } from '../../../packages/shared/test/start-redis.ts'
import { pythonCommand } from '../src/python/command.ts'
import { startWorker } from '../src/worker.ts'
import { quiet, until } from './fixtures/children.ts'

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
  const server = await startRedis()
  const redis = connectRedis(server.url, { name: 'test' })
  const worker = await startWorker({
    name: 'w',
    identity: { workerId: 'w', key: 'k' },
    brokerUrl: server.url,
    redis,
    workerDir: mkdtempSync(join(tmpdir(), 'sc-worker-')),
    planner: () => [{ id: 'cpu0', device: 'cpu', classes: ['cpu'] }],
    python: pythonCommand(),
    modelsDir: join(REPO_DIR, '.cache/models'),
    tasksDir: null,
    masterUrl: `http://127.0.0.1:${(master.address() as AddressInfo).port}`,
    log: quiet
  })
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
  const unit = { unitId: 'u', jobId: 'j', task: 'transcribe.chunk', index: 0, inputRef: 'chunks/1.wav', params }
  const queue = openQueue(redis, 'cpu')
  await addEntries(queue, [{ ...unit, deadline: 80_000 }], { jobIds: ['u-1'] })
  const said: OutboxMessage[] = []
  await until(async () => {
    const entries = await redis.xrange(outboxKey('w'), '-', '+')
    said.splice(0, said.length, ...entries.flatMap(([, fields]) => JSON.parse(fields[1] as string)))
    return said.some(message => message.type === 'result' || message.type === 'error')
  })
  await worker.stop()
  await closeQueue(queue)
  await closeRedis(redis)
  await server.stop()
  master.close()
  const last = said.at(-1)
  if (last?.type !== 'result') throw new Error(JSON.stringify(last))
  const [window] = chunkOutputSchema.parse(last.output).windows
  expect(window?.segments.map(segment => segment.text).join(' ')).toMatch(/ask not what your country can do for you/i)
})
