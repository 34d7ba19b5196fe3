import { ERRORS, type ErrorCode, ScError } from '@sc/shared/errors.ts'
import { translateRedisError } from '@sc/shared/redis.ts'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod'
import { z } from 'zod'
import { translateDatabaseError } from '../database/connect.ts'
import { JOB_STATUSES, type JobStatus } from '../database/schema.ts'
import { BY_FILE } from '../jobs/json-body.ts'
import type { App } from './app-deps.ts'

/** Every error leaves the master as `application/problem+json` (RFC 9457) with a code of the error table. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    code: z.enum(Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]]),
    requestId: z.string(),
    jobStatus: z.enum(JOB_STATUSES).optional().describe('With SC_NOT_FINISHED and SC_NO_RESULT: how the job stands')
  })
  .register(z.globalRegistry, { id: 'Problem' })

const CONTENT_TYPE = 'application/problem+json'
const RETRY_AFTER_SECONDS = 5
const retryAfter = new WeakMap<ScError, number>()

/** Says when to try again; without it, errors that ask for it say 5 s. */
export function withRetryAfter(error: ScError, seconds: number): ScError {
  retryAfter.set(error, Math.max(1, Math.ceil(seconds)))
  return error
}

const ANYWHERE: ErrorCode[] = [
  'SC_BAD_REQUEST',
  'SC_UNAUTHENTICATED',
  'SC_FORBIDDEN',
  'SC_RATE_LIMITED',
  'SC_INTERNAL',
  'SC_UNAVAILABLE'
]

/** OpenAPI responses for a route's own errors and for those that any route may meet. */
export function problems(...codes: ErrorCode[]): Record<number, object> {
  const byStatus = Map.groupBy(new Set([...codes, ...ANYWHERE]), code => ERRORS[code].status)
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => {
      const description = group.map(code => `${code}: ${ERRORS[code].title}`).join('; ')
      return [status, { description, content: { [CONTENT_TYPE]: { schema: problemSchema } } }]
    })
  )
}

export function addProblems(app: App): void {
  app.setErrorHandler((error, request, reply) => sendProblem(reply, toProblem(error, request)))
  app.setNotFoundHandler((request, reply) =>
    sendProblem(reply, new ScError('SC_NOT_FOUND', `There is no ${request.method} ${pathOf(request)} here.`))
  )
}

export async function sendProblem(
  reply: FastifyReply,
  error: ScError,
  extra: { jobStatus?: JobStatus } = {}
): Promise<void> {
  const { code, status, message: detail } = error
  const title = ERRORS[code].title
  if (status === 429 || status === 503 || status === 507)
    reply.header('retry-after', `${retryAfter.get(error) ?? RETRY_AFTER_SECONDS}`)
  const body = { type: 'about:blank', title, status, detail, code, requestId: reply.request.id, ...extra }
  // As text: the answer of a failed check of an answer must not be checked again.
  await reply.status(status).type(CONTENT_TYPE).send(JSON.stringify(body))
}

/** The one place where a throw of a route becomes what the client sees. */
export function toProblem(thrown: unknown, request: FastifyRequest): ScError {
  const error = translateRedisError(translateDatabaseError(thrown))
  if (error instanceof ScError) {
    if (error.status >= 500) request.log.warn({ err: error }, `${request.method} ${pathOf(request)} failed`)
    return error
  }
  if (hasZodFastifySchemaValidationErrors(error)) {
    const fields = error.validation.map(({ instancePath, message }) => {
      const field = instancePath.slice(1).replaceAll('/', '.')
      return `${field || error.validationContext || 'request'}: ${message}`
    })
    return new ScError('SC_BAD_REQUEST', fields.join('; '))
  }
  const { statusCode = 500, code = '', message } = error as FastifyError
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return tooLarge(request)
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE')
    return new ScError(
      'SC_BAD_REQUEST',
      `The body came as ${request.headers['content-type'] ?? 'no type'}; send application/json, or multipart/form-data for a recording.`
    )
  if (statusCode >= 400 && statusCode < 500) return new ScError('SC_BAD_REQUEST', message)
  request.log.error({ err: error }, `${request.method} ${pathOf(request)} failed`)
  return new ScError('SC_INTERNAL', `The cause is in the log of the master, under requestId ${request.id}.`)
}

/** Without the query, which may have a login code in it. */
export function pathOf(request: FastifyRequest): string {
  return request.url.split('?')[0] ?? request.url
}

function tooLarge({ headers, routeOptions: { bodyLimit, url = '' } }: FastifyRequest): ScError {
  const bytes = headers['content-length']
  const has = bytes === undefined ? 'more than that' : `${bytes}`
  const detail = `The body of the request may have ${bodyLimit} bytes here, and has ${has}.`
  return new ScError('SC_FILE_TOO_LARGE', url.startsWith('/api/tasks/') ? `${detail} ${BY_FILE}` : detail)
}
