import { ScError } from '@sc/shared/errors.ts'
import type { FastifyRequest } from 'fastify'
import { findTask } from '../../cluster/find-task.ts'
import type { Asker } from '../../jobs/check-pool.ts'
import { checkTask } from '../../jobs/check-task.ts'
import { hashOfRequest, withDefaults } from '../../jobs/request-hash.ts'
import { DEFAULT_ATTEMPTS, DEFAULT_TIMEOUT_MS, type TaskRequest } from '../../jobs/submit-task.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { callerOf } from '../auth.ts'
import { findJob } from '../find-job.ts'
import { readIdempotencyKey } from '../idempotency-key.ts'
import { JsonText, takeLargeBodies } from '../large-bodies.ts'
import { problems } from '../problem.ts'
import { startedJobSchema, type TaskRequestBody, taskRequestSchema, timeoutMsOf, urlsOf } from '../task-schemas.ts'
import { taskParams } from './tasks.ts'

/** `POST /api/tasks/{name}`: the input against the task's schema, the job with its unit, 202. */
export function addSubmitTask(app: App, deps: AppDeps): void {
  const { maxInputBytes } = deps.config
  app.post('/api/tasks/:name', {
    config: { scope: 'submit' },
    bodyLimit: maxInputBytes,
    ...takeLargeBodies(app, { mostBytes: maxInputBytes, checkPool: deps.checkPool }),
    schema: {
      summary: 'Run a task once',
      description: `The body has at most ${maxInputBytes} bytes. The input is checked here, against the schema that the task’s worker registered. While no worker that is online has the task, the job waits, and its \`waitingFor\` says why. With an \`Idempotency-Key\` (header or \`idempotencyKey\`), the same request sent again answers with the same job.`,
      tags: ['tasks'],
      params: taskParams,
      body: taskRequestSchema,
      response: {
        202: startedJobSchema,
        ...problems(
          'SC_TASK_UNKNOWN',
          'SC_TASK_INPUT',
          'SC_TASK_UNFIT',
          'SC_TASK_INPUT_COSTLY',
          'SC_OVERLOADED',
          'SC_IDEMPOTENCY_CONFLICT',
          'SC_FILE_TOO_LARGE'
        )
      }
    },
    handler: async (request, reply) => {
      const { body } = request
      const { name } = request.params
      const { keyId } = callerOf(request)
      const idempotencyKey = idempotencyKeyOf(request, body)
      const text = body.input instanceof JsonText ? body.input.text : (JSON.stringify(body.input) ?? '{}')
      // From here on only its text is kept, as long as it waits.
      body.input = undefined
      const asker = { keyId, signal: () => app.whileAllowed(request, reply) }
      const checked = await checkTask(deps, name, text, asker)
      const { jobId, existing } = await deps.submitTask({
        ...checked,
        priority: body.priority,
        attempts: body.attempts,
        timeoutMs: timeoutMsOf(body.timeoutSeconds),
        waitTimeoutMs: timeoutMsOf(body.waitTimeoutSeconds),
        runAt: runAtOf(body),
        keyId,
        idempotencyKey,
        requestHash: idempotencyKey === null ? '' : await hashOf(deps, checked, body, asker)
      })
      const status = existing ? (await findJob(deps, jobId)).status : 'PENDING'
      reply.status(202).header('location', `/api/jobs/${jobId}`)
      return { jobId, submissionId: jobId, status, ...urlsOf(request, jobId) }
    }
  })
}

/** Null: at once. */
function runAtOf({ runAt, delaySeconds = 0 }: TaskRequestBody): Date | null {
  const atMs = runAt === undefined ? Date.now() + delaySeconds * 1000 : Date.parse(runAt)
  return atMs > Date.now() ? new Date(atMs) : null
}

function idempotencyKeyOf(request: FastifyRequest, { idempotencyKey }: TaskRequestBody): string | null {
  const header = readIdempotencyKey(request)
  if (header === null || idempotencyKey === undefined || header === idempotencyKey)
    return header ?? idempotencyKey ?? null
  throw new ScError('SC_BAD_REQUEST', 'idempotencyKey: differs from the header Idempotency-Key.')
}

/** What is left out is the same as its default. */
async function hashOf(
  { tasks, checkPool }: Pick<AppDeps, 'tasks' | 'checkPool'>,
  { task, input }: Pick<TaskRequest, 'task' | 'input'>,
  { priority, attempts, timeoutSeconds, waitTimeoutSeconds, runAt, delaySeconds }: TaskRequestBody,
  asker: Asker
): Promise<string> {
  const { inputSchema } = await findTask(tasks, task)
  const rest = {
    task,
    priority,
    attempts: attempts ?? DEFAULT_ATTEMPTS,
    timeoutMs: timeoutMsOf(timeoutSeconds) ?? DEFAULT_TIMEOUT_MS,
    waitTimeoutMs: timeoutMsOf(waitTimeoutSeconds),
    runAt: runAt === undefined ? null : Date.parse(runAt),
    delaySeconds: delaySeconds ?? 0
  }
  if (typeof input === 'string')
    return await checkPool.hash(asker, { schema: JSON.stringify(inputSchema), input, rest })
  return hashOfRequest({ ...rest, input: withDefaults(inputSchema, input) })
}
