import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '@sc/shared/config.ts'
import { createLog } from '@sc/shared/log.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import { afterEach, expect, test } from 'vitest'
import { startMaster } from '../src/start-master.ts'
import { createStartStep } from '../src/start-step.ts'
import { createTestDatabase } from './database.ts'

const releasers = createReleasers()
afterEach(() => releasers.release())

/** A server that accepts and never answers. */
async function startSilent(): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => void sockets.add(socket))
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  releasers.add('silent server', () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

test('a start that hangs ends with a message that names the step', async () => {
  const port = await startSilent()
  const folder = await mkdtemp(join(tmpdir(), 'sc-start-'))
  releasers.add('folder', () => rm(folder, { recursive: true, force: true }))
  const database = await createTestDatabase()
  releasers.add('database', () => database.drop())
  const log = createLog('test', 'silent')
  const started = createReleasers()
  const urls = { DATABASE_URL: database.url, REDIS_URL: `redis://127.0.0.1:${port}` }
  const config = parseConfig({ ...urls, SC_DATA_DIR: folder, SC_PORT: '0', SC_MODE: 'local' })
  await expect(startMaster(config, log, started, new AbortController().signal, 2_000)).rejects.toMatchObject({
    code: 'SC_UNAVAILABLE',
    message: 'Starting the master: connecting to Redis did not end within 2 s.'
  })
  await started.release()
})

test('a step has its result or its own error', async () => {
  const step = createStartStep(60_000)
  expect(await step('counting', Promise.resolve(3))).toBe(3)
  await expect(step('failing', Promise.reject(new Error('own')))).rejects.toThrow('own')
})
