import { ERRORS, type ErrorReport, isErrorCode } from '@sc/shared/errors.ts'
import { z } from 'zod'

/** What `GET /transcribe/{jobId}` says, and, in parts, its `status` and `progress` events. */
const errorSchema = z.object({ code: z.string(), title: z.string().nullish(), detail: z.string().nullish() })

export const jobViewSchema = z.object({
  status: z.enum(['PENDING', 'RUNNING', 'COMPLETED', 'PARTIAL', 'FAILED', 'CANCELLED']),
  progress: z.number(),
  chunks: z.object({ total: z.number().nullish(), done: z.number(), failed: z.number().nullish() }).nullish(),
  queuePosition: z.number().nullish(),
  etaSeconds: z.number().nullish(),
  waitingFor: z.string().nullish(),
  model: z.string().nullish(),
  language: z.string().nullish(),
  durationSeconds: z.number().nullish(),
  startedAt: z.string().nullish(),
  finishedAt: z.string().nullish(),
  error: errorSchema.nullish(),
  gaps: z.array(z.object({ start: z.number(), end: z.number() })).nullish()
})
export type JobView = z.infer<typeof jobViewSchema>

export const jobChangeSchema = jobViewSchema.partial()

export function isFinished({ status }: JobView): boolean {
  return status !== 'PENDING' && status !== 'RUNNING'
}

/** The error of a job as the table words it; `null` when the job says none. */
export function errorOf({ error }: JobView): ErrorReport | null {
  if (!error) return null
  const { code, title, detail } = error
  if (isErrorCode(code)) return { code, title: ERRORS[code].title, detail: detail ?? '' }
  // Of a later version: what it says is kept.
  return { code: 'SC_INTERNAL', title: ERRORS.SC_INTERNAL.title, detail: `${title ?? ''}: ${detail ?? ''} (${code})` }
}
