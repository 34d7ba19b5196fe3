import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import type { Engine } from '../../src/jobs/engine.ts'
import { type ClusterOfOne, type ClusterOptions, startClusterOfOne } from './cluster-of-one.ts'

export interface EngineInTest {
  readonly world: ClusterOfOne
  readonly engine: Engine
  /** As a master that is started again. */
  start(): Promise<void>
}

/** One cluster for a test file, and an engine for each test, which leaves no job behind. */
export function useEngine(options: () => Promise<ClusterOptions> = async () => ({})): EngineInTest {
  let world: ClusterOfOne
  let engine: Engine

  const start = async (): Promise<void> => {
    engine = await world.startMaster()
  }
  beforeAll(async () => {
    world = await startClusterOfOne(await options())
  })
  beforeEach(start)
  afterEach(async () => {
    await engine.stop()
    for (const id of ['w-1', 'w-2']) world.worker(id).die()
    await world.db.deleteFrom('jobs').execute()
    await world.redis.flushall()
  })
  afterAll(() => world?.release())

  return {
    get world() {
      return world
    },
    get engine() {
      return engine
    },
    start
  }
}
