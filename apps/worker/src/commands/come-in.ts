import { dataDir } from '@sc/shared/data-dir.ts'
import type { Logger } from '@sc/shared/log.ts'
import { closeRedis } from '@sc/shared/redis.ts'
import type { Releasers } from '@sc/shared/releasers.ts'
import { type Joined, joinCluster } from '../enrol/join.ts'
import { lockName } from '../enrol/name-lock.ts'
import { probeGpus } from '../probe/gpus.ts'
import { createSlotPlanner, type SlotPlanner } from '../probe/slot-plan.ts'
import type { Settings } from './flags.ts'

export interface ComeInDeps {
  settings: Settings
  log: Logger
  /** Gets what has to be undone at the end. */
  releasers: Releasers
  signal: AbortSignal
}

/** What every worker begins with: the only one of its name, knowing its machine, let in by the master. */
export async function comeIn(deps: ComeInDeps): Promise<Joined & { planner: SlotPlanner }> {
  const { settings, log, releasers, signal } = deps
  const { config, name, wishes } = settings
  const dir = dataDir(config.dataDir)
  releasers.add('name lock', lockName(dir.worker(name), name))
  const gpus = await probeGpus()
  const planner = createSlotPlanner(gpus, wishes)
  const joined = await joinCluster({ config, dir, name, log, signal })
  releasers.add('Redis', () => closeRedis(joined.redis))
  return { ...joined, planner }
}
