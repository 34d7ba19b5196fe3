import { ScError } from '@sc/shared/errors.ts'
import { pause } from '@sc/shared/pause.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { createDiskReserve, type DiskReserve, freeBytes, LEAST_FREE_BYTES } from './disk-reserve.ts'
import { describeMemory, isTight, megabytes, readMemory } from './redis-memory.ts'

/**
 * Whether there is room for more work. What is refused while there is still some left is refused cleanly; a Redis or a
 * disk that is full stops the work that was accepted, too.
 */
export interface Room {
  /** SC_OVERLOADED, with what is full, while nothing more should be submitted. */
  check(): void
  /**
   * False while half of what stays free on the disk is used up, too: what workers answer is left where it is until there is
   * room, since a PostgreSQL without any ends, and does not start again.
   */
  mayStore(): boolean
  /** For uploads, which take what they take while they come in. */
  disk: DiskReserve
  /** Looks now; by itself it does so every LOOK_EVERY_MS. */
  look(): Promise<void>
  stop(): Promise<void>
}

export interface RoomDeps {
  redis: Redis
  /** Where the master keeps everything. */
  folder: string
  log: Logger
  /** Bytes that stay free on its disk. */
  leastFreeBytes?: number
}

const LOOK_EVERY_MS = 2_000

export async function startRoom(deps: RoomDeps): Promise<Room> {
  const { leastFreeBytes = LEAST_FREE_BYTES } = deps
  const stopping = new AbortController()
  let full: string | null = null
  let mayStore = true

  async function look(): Promise<void> {
    const free = await lookAtDisk()
    const reason = (await fullRedis(deps.redis)) ?? fullDisk(free)
    if (reason !== null && full === null) deps.log.warn(`No new work is taken: ${reason}`)
    if (reason === null && full !== null) deps.log.info('There is room again: new work is taken')
    full = reason
  }

  async function lookAtDisk(): Promise<number> {
    const free = await freeBytes(deps.folder)
    const next = free >= leastFreeBytes / 2
    const left = `The disk of the master has ${megabytes(free)} left (${deps.folder})`
    if (mayStore && !next) deps.log.error(`${left}: what workers answer waits until there is room`)
    if (!mayStore && next) deps.log.info(`${left}: what workers answer is stored again`)
    mayStore = next
    return free
  }

  function fullDisk(free: number): string | null {
    if (free >= leastFreeBytes) return null
    return `The disk of the master has ${megabytes(free)} left (${deps.folder}; ${megabytes(leastFreeBytes)} stay free).`
  }

  await look()
  const running = (async () => {
    while (!stopping.signal.aborted) {
      await pause(LOOK_EVERY_MS, stopping.signal)
      // A Redis that is away says nothing of its memory; what needs it fails by itself.
      const looking = deps.redis.status === 'ready' ? look() : lookAtDisk()
      await looking.catch(error => deps.log.debug({ err: error }, 'looking for room'))
    }
  })()

  return {
    check: () => {
      if (full !== null)
        throw new ScError('SC_OVERLOADED', `${full} Nothing that was accepted is lost; send this again later.`)
    },
    mayStore: () => mayStore,
    disk: createDiskReserve(deps.folder, leastFreeBytes),
    look,
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}

async function fullRedis(redis: Redis): Promise<string | null> {
  const memory = await readMemory(redis)
  return isTight(memory) ? `Redis uses ${describeMemory(memory)}.` : null
}
