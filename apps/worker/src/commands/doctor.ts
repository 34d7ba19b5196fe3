import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { checkDisk } from '@sc/shared/doctor/disk.ts'
import { failed, type Report, startReport } from '@sc/shared/doctor/finding.ts'
import { createLog } from '@sc/shared/log.ts'
import { print } from '@sc/shared/printable.ts'
import { closeRedis } from '@sc/shared/redis.ts'
import { MASTER_KEY } from '@sc/shared/redis-keys.ts'
import { checkBlobs } from '../doctor/blobs.ts'
import { checkBroker, checkMaster, connectToBroker } from '../doctor/broker.ts'
import { checkGpus } from '../doctor/machine.ts'
import { checkRights } from '../doctor/rights.ts'
import { checkModels, checkTasks } from '../doctor/tasks.ts'
import { findBroker } from '../enrol/find-broker.ts'
import { readIdentity } from '../enrol/identity.ts'
import { readKnownMaster } from '../messaging/known-master.ts'
import { type Flags, readSettings, type Settings } from './flags.ts'

/** `sc-worker doctor`: what a worker needs, one finding each, with the next step. Answers 1 when something failed. */
export async function doctor(flags: Flags & { json?: boolean }): Promise<number> {
  const settings = readSettings(flags)
  const { config, name } = settings
  const report = startReport({ json: flags.json ?? false, write: print })
  await report.run(checkTasks(config, createLog(`worker ${name}`, 'silent')))
  await report.run(checkModels(config))
  await report.run(checkGpus())
  await report.run(checkDisk(config))
  await checkCluster(settings, report)
  return report.end()
}

async function checkCluster({ config, name }: Settings, report: Report): Promise<void> {
  const dir = dataDir(config.dataDir)
  const identity = readIdentity(dir.worker(name))
  let url: string
  try {
    url = findBroker(config, dir, identity)
  } catch (error) {
    const next = 'Start the master on this machine, or give --broker as the master told you.'
    await report.run([{ name: 'broker', look: async () => failed((error as Error).message, next), next }])
    return
  }
  const broker = connectToBroker(url)
  const { redis } = broker
  try {
    await report.run(checkBroker(broker))
    const known = readKnownMaster(dir.worker(name))
    await report.run(await checkMaster(broker, config, known))
    if (redis.status !== 'ready') return
    const isOfThisMachine = url === readMasterFile(dir)?.redisUrl
    await report.run(checkRights({ redis, workerId: identity?.workerId, isOfThisMachine }))
    const published = await redis.hget(MASTER_KEY, 'httpUrl').catch(() => null)
    const httpUrl = config.masterUrl ?? published ?? known?.httpUrl
    await report.run(checkBlobs(httpUrl, identity?.key))
  } finally {
    await closeRedis(redis)
  }
}
