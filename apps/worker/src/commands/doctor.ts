import { dataDir } from '@sc/shared/data-dir.ts'
import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'
import { MASTER_KEY, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { findBroker } from '../enrol/find-broker.ts'
import { readIdentity } from '../enrol/identity.ts'
import { probeGpus } from '../probe/gpus.ts'
import { wholeMachine, withSlotTasks } from '../tasks/with-slot-tasks.ts'
import { type Flags, readSettings } from './flags.ts'

const ANSWER_MS = 5_000

/** `sc-worker doctor`: one line for each thing the worker needs. Answers 1 when one is missing. */
export async function doctor(flags: Flags): Promise<number> {
  const { config, name } = readSettings(flags)
  const { modelsDir, tasksDir } = config
  const log = createLog(`worker ${name}`, 'silent')
  let failures = 0

  async function check(what: string, look: () => Promise<string>): Promise<void> {
    const line = await look().then(
      found => `ok      ${what}: ${found}`,
      (error: Error) => {
        failures++
        return `failed  ${what}: ${error.message}`
      }
    )
    process.stdout.write(`${line}\n`)
  }

  await check('python', () =>
    withSlotTasks({ slot: wholeMachine([]), modelsDir, log }, async (_tasks, ready) => {
      const versions = Object.entries(ready.versions).map(pair => pair.join(' '))
      return `${versions.join(', ')}; tasks ${ready.tasks.map(task => task.name).join(', ')}`
    })
  )
  if (tasksDir)
    await check('tasks folder', () =>
      withSlotTasks(
        { slot: wholeMachine([]), modelsDir, tasksDir, log },
        async ({ notOffered }, { tasks, leftOut }) => {
          if (leftOut.length > 0) throw new Error(leftOut.map(({ file, reason }) => `${file}: ${reason}`).join('; '))
          const own = [...tasks, ...notOffered.map(({ task }) => task)].filter(task => !task.builtIn)
          return own.map(task => task.name).join(', ') || 'no tasks'
        }
      )
    )
  await check(
    'gpus',
    async () => (await probeGpus()).map(gpu => `${gpu.name} ${gpu.vramTotalGb} GB`).join(', ') || 'none'
  )
  await check('broker and master', async () => {
    const dir = dataDir(config.dataDir)
    const redis = connectRedis(findBroker(config, dir, readIdentity(dir.worker(name))), { name: 'worker-doctor' })
    try {
      await waitForRedis(redis, { timeoutMs: ANSWER_MS })
      const { protocol, httpUrl } = await redis.hgetall(MASTER_KEY)
      if (!protocol) throw new Error('Redis answers, but no master has published itself there')
      if (Number(protocol) !== PROTOCOL_VERSION)
        throw new Error(`the master speaks protocol ${protocol}, this worker ${PROTOCOL_VERSION}`)
      const health = new URL('healthz', `${config.masterUrl ?? httpUrl}/`)
      const answer = await fetch(health, { signal: AbortSignal.timeout(ANSWER_MS) })
      if (!answer.ok) throw new Error(`${health} answers ${answer.status}`)
      return `${redis.options.host}:${redis.options.port}, ${health.origin}`
    } finally {
      await closeRedis(redis)
    }
  })
  return failures === 0 ? 0 : 1
}
