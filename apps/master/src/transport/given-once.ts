import type { Logger } from 'pino'
import type { GivenUnit, RunOnce } from '../jobs/run-once.ts'
import { giveBack, release, type TakenEntry } from '../queues/queues.ts'
import type { Links } from './links.ts'

/** Entries of units that must not run twice: see `jobs/run-once.ts`. Each has one unit. */
export interface GivenOnce {
  /** Before the entry is given. False: it must not be, and is out of Redis. */
  mark(taken: TakenEntry, workerId: string): Promise<boolean>
  /** It is not given after all. */
  unmark(taken: TakenEntry): Promise<void>
  /** Nobody has such an entry any more: its unit ends. */
  end(taken: TakenEntry): Promise<void>
}

export interface GivenOnceDeps {
  runOnce: RunOnce
  links: Pick<Links, 'all'>
  log: Logger
}

export function createGivenOnce({ runOnce, links, log }: GivenOnceDeps): GivenOnce {
  async function endAndRelease(taken: TakenEntry): Promise<void> {
    // A worker may run it all the same: its lock ran out while this master or Redis was away.
    if (!links.all().some(link => link.has(taken.jobId))) await runOnce.end([unitOf(taken)])
    await release(taken).catch(error => log.debug({ err: error }, 'an entry that is over could not be released'))
  }

  return {
    mark: async (taken, workerId) => {
      if (!runsOnce(taken)) return true
      try {
        if (await runOnce.mark(unitOf(taken), workerId)) return true
        await endAndRelease(taken)
      } catch (error) {
        // PostgreSQL is away: nobody may have it until that is back.
        await giveBack(taken)
        throw error
      }
      return false
    },
    unmark: async taken => {
      if (runsOnce(taken)) await runOnce.unmark(unitOf(taken))
    },
    end: endAndRelease
  }
}

export function runsOnce({ units: [unit] }: TakenEntry): boolean {
  return unit.runsOnce === true
}

function unitOf({ units: [{ unitId }], jobId: entry }: TakenEntry): GivenUnit {
  return { unitId, entry }
}
