import { PREFIX } from '@sc/shared/redis-keys.ts'

/** Every Redis name that masters alone use. */
export const QUEUE_PREFIX = `${PREFIX}:q`
/** Channel on which a master names queues that have new entries. */
export const QUEUED_CHANNEL = `${PREFIX}:queued`
/** Which master serves a worker. */
export const leaseKey = (workerId: string): string => `${PREFIX}:lease:${workerId}`

/**
 * BullMQ's lock on an entry that a worker holds. The master that serves the worker renews it; it runs out only where that
 * master is gone. What a dead worker held is given back long before.
 */
export const LOCK_MS = 10_000
export const STALLED_CHECK_MS = 1_000
