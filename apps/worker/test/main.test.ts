import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { childEnv } from '@sc/shared/config.ts'
import { enrolRequestSchema, sealReply } from '@sc/shared/enrol-request.ts'
import { identityOf, isRunning } from '@sc/shared/processes.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { ENROL_ASKERS, enrolAnswerKey, enrolAskKey } from '@sc/shared/redis-keys.ts'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { startRedis } from '../../../packages/shared/test/start-redis.ts'
import { until } from './fixtures/children.ts'

const folder = mkdtempSync(join(tmpdir(), 'sc-worker-cli-'))
const main = join(import.meta.dirname, '../src/main.js')

function scWorker(...args: string[]) {
  const env = { ...childEnv(), SC_DATA_DIR: folder, LOG_LEVEL: 'silent' }
  return execa(process.execPath, [main, ...args], { env, extendEnv: false, cwd: folder, reject: false })
}

test('bad usage and configuration end with 2 and one clear sentence', async () => {
  const [noMaster, noFlag, badSlots, badHours, badLevel] = await Promise.all([
    scWorker('run'),
    scWorker('run', '--frobnicate'),
    scWorker('run', '--concurrency', 'many'),
    scWorker('run', '--quiet-hours', 'at night'),
    scWorker('run', '--log-level', 'loud')
  ])
  expect(noMaster).toMatchObject({ exitCode: 2, stdout: '' })
  expect(noMaster.stderr).toBe(
    `There is no master in ${folder}: start one there (pnpm start:master), or give --broker as \`sc join\` on the machine of the master prints it.`
  )
  expect(noFlag).toMatchObject({ exitCode: 2, stderr: /unknown option '--frobnicate'/ })
  expect(badSlots).toMatchObject({ exitCode: 2, stderr: /--concurrency many/ })
  expect(badHours).toMatchObject({ exitCode: 2, stderr: /--quiet-hours at night/ })
  expect(badLevel).toMatchObject({ exitCode: 2, stderr: /LOG_LEVEL/ })
})

test('finds the master of this machine; stops while it waits for the answer; one process a name', async () => {
  const server = await startRedis()
  const redis = connectRedis(server.url, { name: 'test' })
  writeFileSync(join(folder, 'master.json'), JSON.stringify({ redisUrl: server.url, httpUrl: 'http://m', pid: 1 }))
  const worker = scWorker('run', '--name', 'one')
  await until(async () => (await redis.llen(ENROL_ASKERS)) === 1)
  expect(await scWorker('run', '--name', 'one')).toMatchObject({
    exitCode: 2,
    stderr: /named one runs on this machine/
  })
  worker.kill('SIGINT')
  expect(await worker).toMatchObject({ exitCode: 130, stderr: '' })
  await redis.del(ENROL_ASKERS)
  const refused = scWorker('run', '--name', 'one')
  await until(async () => (await redis.llen(ENROL_ASKERS)) === 1)
  const request = enrolRequestSchema.parse(
    JSON.parse((await redis.get(enrolAskKey((await redis.lpop(ENROL_ASKERS)) as string))) as string)
  )
  const error = { code: 'SC_PROTOCOL_VERSION', detail: 'update this worker' }
  await redis.set(enrolAnswerKey(request.asker), sealReply(request.seal, { error }))
  expect(await refused).toMatchObject({ exitCode: 1, stderr: /did not enrol this worker: update this worker/ })
  await closeRedis(redis)
  await server.stop()
})

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 1]
] as const)('`join` that is stopped by %s before it is in has not joined', async (signal, exitCode) => {
  const server = await startRedis()
  const redis = connectRedis(server.url, { name: 'test' })
  // Nobody answers what it asks; `--quiet-hours` is known to `run` alone.
  const worker = scWorker('join', '--name', 'waits', '--broker', server.url, '--quiet-hours', '22:00-07:00')
  await until(async () => (await redis.llen(ENROL_ASKERS)) === 1)
  worker.kill(signal)
  expect(await worker).toMatchObject({ exitCode, stderr: '' })
  await closeRedis(redis)
  await server.stop()
})

test('a child ends with a worker that is killed', async () => {
  const host = spawn(process.execPath, [join(import.meta.dirname, 'fixtures/host.ts')], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  const [said] = (await once(host.stdout, 'data')) as [Buffer]
  const child = identityOf(Number(said.toString()))
  expect(child && isRunning(child)).toBe(true)
  host.kill('SIGKILL')
  await until(() => !child || !isRunning(child))
})
