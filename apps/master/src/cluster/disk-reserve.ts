/**
 * DESIGN: what uploads under way may still write, so that all of them together leave the disk its reserve. Each one has a
 * claim, which grows step by step as bytes come. What it announced is only looked at, not held: uploads that announce much
 * and send nothing must not fill the disk either.
 *
 *   claim --enough--> granted --written--> … --used up--> another step, or refused --> its file removed --> released
 *
 * Free is what the file system says, less what was granted and may not be written yet. Claims are looked at one by one.
 * While one that was refused still gives back what it took, others that lack room wait for it: else all of those that meet
 * the end of the disk together would be refused together.
 */
import { statfs } from 'node:fs/promises'
import { askDisk } from '@sc/shared/ask-disk.ts'
import { ScError } from '@sc/shared/errors.ts'

/** Bytes that stay free on the disk of the master, for what it must write itself: Redis, PostgreSQL, chunks. */
export const LEAST_FREE_BYTES = 512 * 1024 ** 2
/** More than what is written and not seen by the file system yet. */
const UNSEEN_BYTES = 8 * 1024 ** 2
const STEP_BYTES = 16 * 1024 ** 2

export interface DiskReserve {
  /** SC_DISK_FULL: there is too little room. `announced` 0: nobody knows how much it will be. */
  claim(announced: number): Promise<DiskClaim>
}

export interface DiskClaim {
  /** Before a byte is written that makes it `total` ones. SC_DISK_FULL: what was written has to go. */
  willHave(total: number): Promise<void> | undefined
  /** Once everything is on the disk, or removed from it. */
  release(): void
}

interface Held {
  granted: number
  written: number
  isRefused: boolean
}

export function createDiskReserve(folder: string, leastFreeBytes = LEAST_FREE_BYTES): DiskReserve {
  const held = new Set<Held>()
  let released = Promise.withResolvers<void>()
  let last: Promise<void> = Promise.resolve()

  function unwritten(): number {
    const left = ({ granted, written }: Held): number => Math.max(0, granted - Math.max(0, written - UNSEEN_BYTES))
    return [...held].reduce((sum, one) => sum + left(one), 0)
  }

  async function grant(one: Held, bytes: number, wanted = bytes): Promise<void> {
    for (;;) {
      // Taken before looking: a release meanwhile is not missed.
      const giveBack = released.promise
      if ((await freeBytes(folder)) - unwritten() - wanted >= leastFreeBytes) break
      if (![...held].some(other => other !== one && other.isRefused)) {
        one.isRefused = true
        throw new ScError('SC_DISK_FULL', 'The disk of the master has too little room for this file; nothing was kept.')
      }
      await giveBack
    }
    one.granted += bytes
  }

  function inTurn(one: Held, bytes: number, wanted?: number): Promise<void> {
    const turn = last.then(() => grant(one, bytes, wanted))
    last = turn.catch(() => {})
    return turn
  }

  function release(one: Held): void {
    held.delete(one)
    released.resolve()
    released = Promise.withResolvers()
  }

  return {
    claim: async announced => {
      const one: Held = { granted: 0, written: 0, isRefused: false }
      const first = Math.min(announced || STEP_BYTES, STEP_BYTES)
      await inTurn(one, first, Math.max(announced, first))
      held.add(one)
      return {
        willHave: total => {
          one.written = Math.min(total, one.granted)
          return total > one.granted ? inTurn(one, Math.max(STEP_BYTES, total - one.granted)) : undefined
        },
        release: () => release(one)
      }
    }
  }
}

export async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await askDisk('free bytes', folder, () => statfs(folder))
  return bavail * bsize
}
