import { ERRORS, type ErrorCode } from '@sc/shared/errors.ts'
import { modelSchema } from '@sc/shared/models.ts'
import { presenceSchema } from '@sc/shared/presence.ts'
import { timingsSchema } from '@sc/shared/unit.ts'
import { z } from 'zod'
import { JOB_STATUSES } from '../database/schema.ts'
import { KEY_SCOPES } from './key-rows.ts'

/** What the routes answer with; also what `/openapi.json` says of it. */
export const named = <T extends z.ZodType>(id: string, schema: T): T => {
  z.globalRegistry.add(schema, { id })
  return schema
}

export const time = z.string().describe('ISO 8601')

export const statusSchema = z.enum(JOB_STATUSES)

export const errorReportSchema = named(
  'ErrorReport',
  z.object({
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    title: z.string(),
    detail: z.string()
  })
)

const countsSchema = z.object({ total: z.int(), done: z.int(), running: z.int(), failed: z.int() })

const gapSchema = z.object({ start: z.number(), end: z.number(), error: errorReportSchema })

const standing = {
  jobId: z.string(),
  status: statusSchema,
  progress: z.number().describe('0 to 1; never falls'),
  queuePosition: z
    .int()
    .nullable()
    .describe(
      'What goes before a PENDING one, counted up to 400: jobs while it is not planned, units of its queue after that; else null'
    ),
  etaSeconds: z
    .int()
    .nullable()
    .describe('At the speed of this job so far, or of its task lately; null: nobody can say'),
  waitingFor: z.string().nullable().describe('Why nothing of it is being done just now, in one sentence'),
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
  error: errorReportSchema.nullable()
}

export const transcriptionSchema = named(
  'Transcription',
  z.object({
    ...standing,
    chunks: countsSchema,
    model: z.string().nullable(),
    language: z.string().nullable(),
    durationSeconds: z.number().nullable(),
    gaps: z.array(gapSchema).describe('Stretches without text, in seconds, with the reason')
  })
)

export const jobSchema = named('Job', z.object({ ...standing, task: z.string(), units: countsSchema }))

export const jobListSchema = z.object({ items: z.array(jobSchema), nextCursor: z.string().nullable() })

export const unitSchema = named(
  'Unit',
  z.object({
    unitId: z.string(),
    index: z.int(),
    task: z.string(),
    queue: z.string(),
    status: z.enum(['QUEUED', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED']),
    attempts: z.int().describe('Attempts that ended in an error of the task'),
    crashes: z.int().describe('Attempts whose worker or process was lost'),
    workerId: z.string().nullable(),
    slot: z.string().nullable(),
    startedAt: time.nullable(),
    finishedAt: time.nullable(),
    timingsMs: timingsSchema.nullable().describe('Where the time of the attempt that counted went'),
    error: errorReportSchema.nullable()
  })
)

export const unitListSchema = z.object({ items: z.array(unitSchema), nextCursor: z.string().nullable() })

export const submittedSchema = named(
  'SubmittedTranscription',
  z.object({
    jobId: z.string(),
    submissionId: z.string(),
    status: statusSchema,
    blobPath: z.string(),
    resultPath: z.string(),
    statusUrl: z.string(),
    resultUrl: z.string(),
    eventsUrl: z.string()
  })
)

/** Where a transcription is, by the name under which the master was asked. */
export function transcriptionUrlOf(request: { protocol: string; host: string }, jobId: string): string {
  return `${request.protocol}://${request.host}/transcribe/${jobId}`
}

export const cancelledSchema = z.object({ jobId: z.string(), status: statusSchema })

export const workerSchema = named(
  'Worker',
  presenceSchema.extend({ status: z.enum(['online', 'draining', 'offline']), lastSeen: time })
)

export const workerListSchema = z.object({ items: z.array(workerSchema), nextCursor: z.null() })

export const modelListSchema = z.object({
  items: z.array(
    named(
      'Model',
      modelSchema.extend({
        nodes: z.array(
          z.object({
            id: z.string().describe('Of the worker, or "master"'),
            name: z.string(),
            type: z.enum(['master', 'worker']),
            status: z.enum(['online', 'draining', 'offline'])
          })
        )
      })
    )
  ),
  nextCursor: z.null()
})

const checkSchema = z.object({
  status: z.enum(['ok', 'failing', 'off']),
  detail: z.string().nullable(),
  latencyMs: z.number().nullable()
})

export const healthSchema = named(
  'Health',
  z.object({
    status: z.enum(['healthy', 'degraded']),
    checks: z.object({
      redis: checkSchema,
      postgres: checkSchema,
      blobs: checkSchema,
      tailscale: checkSchema,
      workers: checkSchema
    })
  })
)

export const clusterInfoSchema = named(
  'ClusterInfo',
  z.object({
    mode: z.enum(['local', 'lan', 'tailscale']).describe('`auto` is told as what it became'),
    role: z.literal('master'),
    masterUrl: z.string(),
    brokerUrl: z.string().describe('Without the login'),
    tailscale: z.object({
      enabled: z.boolean(),
      installed: z.boolean(),
      tailnet: z.string().nullable(),
      selfIp: z.string().nullable(),
      selfHostname: z.string().nullable(),
      peerCount: z.int(),
      onlinePeers: z.int()
    }),
    local: z.object({ hostname: z.string(), ip: z.string() }),
    version: z.string()
  })
)

export const joinSchema = named(
  'Join',
  z.object({
    command: z.string(),
    alternatives: z.array(z.object({ title: z.string(), command: z.string() })),
    prerequisites: z.array(z.string()),
    mode: z.enum(['local', 'lan', 'tailscale']),
    masterAddress: z.string(),
    expiresAt: time
      .nullable()
      .describe('Null: there is no code in the command; `prerequisites` says what to put in its place')
  })
)

export const keySchema = named(
  'Key',
  z.object({
    id: z.string(),
    name: z.string(),
    scopes: z.array(z.enum(KEY_SCOPES)),
    createdAt: time,
    lastUsedAt: time.nullable().describe('To the minute'),
    revokedAt: time.nullable()
  })
)

export const madeKeySchema = named('MadeKey', keySchema.extend({ key: z.string().describe('Shown this once') }))

export const sessionSchema = named(
  'Session',
  z.object({
    id: z.string(),
    loginName: z.string().nullable().describe('Who it is in the tailnet; null: it came by the login link'),
    machine: z.string().nullable(),
    agent: z.string().nullable().describe('What the browser calls itself'),
    createdAt: time,
    lastUsedAt: time.describe('To the minute'),
    expiresAt: time,
    isCurrent: z.boolean().describe('It is the session that asks')
  })
)
