import { z } from 'zod'
import { JOB_STATUSES } from '../database/schema.ts'
import { named } from './schemas.ts'

export const JOB_STATUS_COUNTS = z.record(z.enum(JOB_STATUSES), z.int())

export const workerStatsSchema = z.object({
  workers: z.object({ total: z.int(), online: z.int(), draining: z.int(), offline: z.int() }),
  slots: z.object({ total: z.int(), running: z.int(), idle: z.int(), other: z.int() }),
  gpus: z.object({ total: z.int(), vramTotalGb: z.number(), vramUsedGb: z.number() }),
  cpu: z.object({ cores: z.int(), threads: z.int() }),
  ram: z.object({ totalGb: z.number(), availableGb: z.number() }),
  units: z.object({ done: z.int(), failed: z.int() }).describe('Since the start of each worker')
})

export const queueStatsSchema = named(
  'Queue',
  z.object({
    queue: z.string(),
    waiting: z.int(),
    running: z.int(),
    slots: z.int().describe('Slots of workers that are online; one slot may serve several queues'),
    oldestWaitingSeconds: z.number().nullable(),
    workers: z.array(z.object({ id: z.string(), name: z.string() }))
  })
)
