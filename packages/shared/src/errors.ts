/**
 * Every error a user can meet, in one table: code, what happened, HTTP status, and whether trying again can help.
 * Retryable is a property of the error, never of the place that catches it. `docs/errors.md` lists the same codes and a
 * test keeps the two in step; the Python process sends codes of this table over the line protocol.
 */
export const ERRORS = {
  // What the client sent
  SC_BAD_REQUEST: { status: 400, title: 'The request is not valid', retryable: false },
  SC_NO_FILE: { status: 400, title: 'No audio was sent', retryable: false },
  SC_FILE_TOO_LARGE: { status: 413, title: 'The file or the input is too large', retryable: false },
  SC_UNKNOWN_MODEL: { status: 400, title: 'The model is not known', retryable: false },
  SC_IDEMPOTENCY_CONFLICT: { status: 409, title: 'The idempotency key was used for another request', retryable: false },
  SC_UNAUTHENTICATED: { status: 401, title: 'A key is needed', retryable: false },
  SC_FORBIDDEN: { status: 403, title: 'The key has too small a scope', retryable: false },
  SC_NOT_FOUND: { status: 404, title: 'There is no such thing here', retryable: false },
  SC_NOT_FINISHED: { status: 409, title: 'The job is not finished', retryable: true },
  SC_NO_RESULT: { status: 409, title: 'The job ended without a result', retryable: false },
  SC_NOT_FAILED: { status: 409, title: 'The job has not failed', retryable: false },
  SC_LAST_ADMIN_KEY: { status: 409, title: 'The last admin key cannot be revoked', retryable: false },
  SC_RATE_LIMITED: { status: 429, title: 'Too many requests', retryable: true },

  // What the recording is
  SC_NOT_AUDIO: { status: 422, title: 'The file is not audio that can be decoded', retryable: false },
  SC_NO_AUDIO_TRACK: { status: 422, title: 'The file has no audio track', retryable: false },
  SC_NO_SUCH_TRACK: { status: 422, title: 'The file does not have that audio track', retryable: false },
  SC_NO_SUCH_CHANNEL: { status: 422, title: 'The recording does not have that channel', retryable: false },
  SC_AUDIO_TOO_LONG: { status: 422, title: 'The recording is too long', retryable: false },
  SC_DECODE_TIMEOUT: { status: 422, title: 'Decoding the recording took too long', retryable: false },
  SC_LANGUAGE_NOT_SUPPORTED: { status: 422, title: 'The model does not know the language', retryable: false },

  // What happened while working
  SC_CANCELLED: { status: 409, title: 'The job was cancelled', retryable: false },
  SC_TASK_FAILED: { status: 500, title: 'The task failed', retryable: true },
  SC_TASK_TIMEOUT: { status: 504, title: 'The task took too long', retryable: true },
  SC_WAIT_TIMEOUT: { status: 504, title: 'The task waited too long', retryable: true },
  SC_TASK_INPUT: { status: 422, title: 'The input of the task is not valid', retryable: false },
  SC_TASK_INPUT_COSTLY: { status: 422, title: 'The input of the task takes too long to check', retryable: false },
  SC_TASK_UNKNOWN: { status: 404, title: 'No task has that name', retryable: false },
  SC_TASK_UNFIT: { status: 422, title: 'The task cannot run as it is registered', retryable: false },
  SC_SCHEDULE_NEVER: { status: 422, title: 'The schedule would never run', retryable: false },
  SC_TOO_MANY_SCHEDULES: { status: 409, title: 'The key has too many schedules', retryable: false },
  SC_MODEL_UNAVAILABLE: { status: 503, title: 'The model could not be loaded', retryable: true },
  SC_OUT_OF_MEMORY: { status: 503, title: 'The device has too little memory', retryable: true },
  SC_JOB_DIED: { status: 500, title: "The process of the job's own code ended", retryable: true },
  SC_CHILD_DIED: { status: 500, title: 'The process of the task ended', retryable: true },
  SC_WORKER_LOST: { status: 500, title: 'The worker was lost', retryable: true },
  SC_POISON_UNIT: { status: 500, title: 'The unit ended every worker that it touched', retryable: false },
  SC_MAY_HAVE_RUN: { status: 500, title: 'The unit may have run, and is not to run twice', retryable: false },
  SC_INPUT_UNREADABLE: { status: 500, title: 'The input of the unit could not be fetched', retryable: true },
  SC_WEBHOOK_FAILED: { status: 502, title: 'The webhook was not accepted', retryable: true },

  // What the cluster is missing
  SC_DISK_FULL: { status: 507, title: 'The disk is full', retryable: true },
  SC_OVERLOADED: { status: 429, title: 'The cluster is full', retryable: true },
  SC_UNAVAILABLE: { status: 503, title: 'A part of the cluster is away', retryable: true },
  SC_REVOKED: { status: 403, title: 'The worker was revoked', retryable: false },
  SC_JOIN_CODE_USED: { status: 403, title: 'The join code was used', retryable: false },
  SC_JOIN_CODE_EXPIRED: { status: 403, title: 'The join code is too old', retryable: false },
  SC_NAME_TAKEN: { status: 409, title: 'Another worker has that name', retryable: false },
  SC_PROTOCOL_VERSION: { status: 409, title: 'Master and worker speak different versions', retryable: false },
  SC_CONFIG: { status: 500, title: 'The configuration is not valid', retryable: false },
  SC_INTERNAL: { status: 500, title: 'Something went wrong inside', retryable: true }
} as const satisfies Record<string, ErrorRow>

export interface ErrorRow {
  readonly status: number
  readonly title: string
  readonly retryable: boolean
}

export type ErrorCode = keyof typeof ERRORS

/** What a job, a unit or an HTTP answer says of an error. */
export interface ErrorReport {
  code: ErrorCode
  title: string
  detail: string
}

/** Of a detail, in characters. */
export const MOST_DETAIL = 4_000
/** Of one that is longer, how much of its end stays: that is where a program says why it ended. */
const DETAIL_END = 1_000

/** What is said of an error, whoever says it: the title is the table's, the detail has bounds. */
export function reportOf(code: ErrorCode, detail: string): ErrorReport {
  return { code, title: ERRORS[code].title, detail: bounded(detail) }
}

function bounded(detail: string): string {
  if (detail.length <= MOST_DETAIL) return detail
  const mark = `\n… (${detail.length} characters, cut) …\n`
  const head = detail.slice(0, MOST_DETAIL - DETAIL_END - mark.length)
  // A cut may go through a surrogate pair.
  return `${head}${mark}${detail.slice(-DETAIL_END)}`.toWellFormed()
}

/**
 * An error of the table. `detail` says what was being done, to what, and what to do next. `retryable: false` is what a task
 * said of this failure of its own; the table's word is the rule.
 */
export class ScError extends Error {
  override readonly name = 'ScError'
  readonly code: ErrorCode
  readonly retryable: boolean

  constructor(code: ErrorCode, detail: string, options: ErrorOptions & { retryable?: boolean } = {}) {
    super(detail, options)
    this.code = code
    this.retryable = ERRORS[code].retryable && options.retryable !== false
  }

  get status(): number {
    return ERRORS[this.code].status
  }

  toReport(): ErrorReport {
    return reportOf(this.code, this.message)
  }
}

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERRORS, code)
}

/** Any throw as an error of the table; what is not known becomes SC_INTERNAL with its first cause in the detail. */
export function toScError(thrown: unknown): ScError {
  if (thrown instanceof ScError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new ScError('SC_INTERNAL', message, { cause: thrown })
}
