import { z } from 'zod'
import { LOG_LEVELS } from '../jobs/logs.ts'
import { MAX_IDEMPOTENCY_KEY_CHARS } from './idempotency-key.ts'
import { jobSchema, named, statusSchema, time } from './schemas.ts'

/** What the routes about tasks and single jobs take and answer. */
const jsonSchema = z.record(z.string(), z.unknown())
const taskWorkerSchema = z.object({
  id: z.string(),
  name: z.string(),
  status: z.enum(['online', 'draining', 'offline'])
})

export const taskSchema = named(
  'Task',
  z.object({
    name: z.string(),
    description: z.string(),
    requires: z.object({
      gpu: z.boolean(),
      vramGb: z.number(),
      features: z.array(z.string()).describe('What the worker must have beside')
    }),
    retryCrashes: z.boolean().describe('False: a unit whose process or worker died fails with `SC_MAY_HAVE_RUN`'),
    inputSchema: jsonSchema.describe('JSON Schema of `input`'),
    outputSchema: jsonSchema.describe('JSON Schema of the result'),
    workers: z
      .array(taskWorkerSchema)
      .describe('Every worker that can run it as defined here, also those that are off'),
    lacking: z
      .array(taskWorkerSchema.extend({ lack: z.string().describe('What it lacks: a sentence') }))
      .describe('Every worker that has its file and cannot run it. Where `workers` is empty its jobs wait'),
    queue: z.string().nullable().describe('Where its units wait; null: no worker can be large enough, or it is a job'),
    isJob: z.boolean().describe('True: a job of several units, each a task; false: one unit'),
    versions: z
      .int()
      .describe(
        'More than 1: workers have different definitions of it. Shown, and used, is that of the worker that has offered it for longest; those with another get no units of it'
      )
  })
)

export const taskListSchema = z.object({ items: z.array(taskSchema), nextCursor: z.null() })

export const MOST_BODY_BYTES = 1024 ** 2
const MOST_TIMEOUT_SECONDS = 7 * 24 * 3600
const MOST_DELAY_SECONDS = 366 * 24 * 3600

export const taskRequestSchema = z
  .strictObject(
    {
      input: z.unknown().optional().describe('As the input schema of the task says; left out: `{}`'),
      priority: z.int().min(0).max(100).default(0).describe('The higher go first'),
      idempotencyKey: z
        .string()
        .min(1)
        .max(MAX_IDEMPOTENCY_KEY_CHARS)
        .optional()
        .describe('The same request sent again with it answers with the same job; the same as the header'),
      timeoutSeconds: z
        .number()
        .min(0.1)
        .max(MOST_TIMEOUT_SECONDS)
        .optional()
        .describe('Of one attempt; left out: an hour'),
      waitTimeoutSeconds: z
        .number()
        .min(0.1)
        .max(MOST_TIMEOUT_SECONDS)
        .optional()
        .describe(
          'How long a unit may wait for a slot, from when it is queued or from its time; then it fails with `SC_WAIT_TIMEOUT`. Left out: any time'
        ),
      attempts: z.int().min(1).max(20).optional().describe('How often it is tried when it fails; left out: 3'),
      runAt: z.iso.datetime({ offset: true }).optional().describe('Not before this time'),
      delaySeconds: z.number().min(0).max(MOST_DELAY_SECONDS).optional().describe('The same, from now')
    },
    {
      error: issue =>
        issue.code === 'unrecognized_keys'
          ? `there is no field ${(issue.keys as string[]).join(', ')}; what the task is given goes into \`input\``
          : undefined
    }
  )
  .refine(({ runAt, delaySeconds }) => runAt === undefined || delaySeconds === undefined, {
    error: 'expected runAt or delaySeconds, not both',
    path: ['runAt']
  })
export type TaskRequestBody = z.infer<typeof taskRequestSchema>

/** Null: no limit of the request's own. */
export function timeoutMsOf(timeoutSeconds: number | undefined): number | null {
  return timeoutSeconds === undefined ? null : Math.ceil(timeoutSeconds * 1000)
}

export const startedJobSchema = named(
  'StartedJob',
  z.object({
    jobId: z.string(),
    submissionId: z.string(),
    status: statusSchema,
    statusUrl: z.string(),
    resultUrl: z.string(),
    eventsUrl: z.string(),
    logsUrl: z.string()
  })
)

/** Where everything about a job is. */
export function urlsOf(request: { protocol: string; host: string }, jobId: string) {
  const statusUrl = `${request.protocol}://${request.host}/api/jobs/${jobId}`
  return {
    statusUrl,
    resultUrl: `${statusUrl}/result`,
    eventsUrl: `${statusUrl}/events`,
    logsUrl: `${statusUrl}/logs`
  }
}

export const logLineSchema = named(
  'LogLine',
  z.object({
    at: time,
    unitId: z.string(),
    level: z.enum(LOG_LEVELS),
    message: z.string(),
    fields: z.record(z.string(), z.unknown()).nullable()
  })
)

export const logListSchema = z.object({ items: z.array(logLineSchema), nextCursor: z.string().nullable() })

export const progressEventSchema = jobSchema
  .pick({ progress: true, units: true, etaSeconds: true })
  .extend({ partial: z.unknown().optional() })
