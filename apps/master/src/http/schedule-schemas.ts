import { z } from 'zod'
import { OVERLAPS } from '../database/schema.ts'
import { errorReportSchema, named, time } from './schemas.ts'
import { taskRequestSchema } from './task-schemas.ts'

/** What the routes about schedules take and answer. */
const { input, priority, attempts, timeoutSeconds, waitTimeoutSeconds } = taskRequestSchema.shape

export const scheduleRequestSchema = z.strictObject({
  name: z.string().min(1).max(100).optional().describe('For people'),
  task: z.string().max(100).describe('The name of a task, as in `GET /api/tasks`'),
  input,
  cron: z
    .string()
    .max(200)
    .describe(
      'Minute, hour, day of the month, month, day of the week; with six fields seconds come first; or `@daily`'
    ),
  timezone: z.string().max(100).default('UTC').describe('Whose clocks `cron` means: an IANA name, `Europe/Berlin`'),
  overlap: z
    .enum(OVERLAPS)
    .default('skip')
    .describe(
      'While the job before has not ended: `skip` drops the time (see `skippedAt`), `queue` waits for its end and then runs once, `allow` runs beside it'
    ),
  priority,
  attempts,
  timeoutSeconds,
  waitTimeoutSeconds
})

export const scheduleSchema = named(
  'Schedule',
  z.object({
    scheduleId: z.string(),
    name: z.string().nullable(),
    task: z.string(),
    input: z.record(z.string(), z.unknown()),
    cron: z.string(),
    timezone: z.string(),
    overlap: z.enum(OVERLAPS),
    priority: z.int(),
    attempts: z.int().nullable().describe('Null: as many as any job has'),
    timeoutSeconds: z.number().nullable().describe('Null: an hour'),
    waitTimeoutSeconds: z.number().nullable().describe('Null: any time'),
    nextAt: time,
    lastJobId: z.string().nullable().describe('The last job that it submitted'),
    lastError: errorReportSchema.nullable().describe('Why nothing could be submitted the last time; null: it was'),
    skippedAt: time.nullable().describe('The last time that was dropped, since the job before had not ended'),
    createdAt: time
  })
)

export const scheduleListSchema = z.object({ items: z.array(scheduleSchema), nextCursor: z.null() })
