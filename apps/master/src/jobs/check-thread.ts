import { parentPort } from 'node:worker_threads'
import { type ErrorCode, ScError } from '@sc/shared/errors.ts'
import { MOST_JSON_DEPTH, measureJson } from '@sc/shared/json-depth.ts'
import { excessOfJson } from '@sc/shared/outbox-message.ts'
import { BY_FILE, parseBody, textOfBody } from './json-body.ts'
import { compileSchema, type Faults } from './json-schema.ts'
import { hashOfRequest, withDefaults } from './request-hash.ts'
import { MOST_ADDED, type TextFaults, textFaultsOf, tooManyDigits } from './text-faults.ts'

/** A thread of `check-pool.ts`: does one request after the other, for as long as it takes; it may be ended at any time. */
export type ThreadRequest = CheckRequest | ReadRequest | HashRequest

export interface CheckRequest {
  /** JSON text, both. */
  schema: string
  input: string
  /** A field of the input, of which is asked whether it is there. */
  field?: string
}

/** A large body of a request. */
export interface ReadRequest {
  body: Uint8Array<ArrayBuffer>
}

/** Of what makes two requests the same. */
export interface HashRequest {
  /** JSON text, both: of the task, and what the task is given. */
  schema: string
  input: string
  /** All but the input. */
  rest: Record<string, unknown>
}

export type ThreadAnswer =
  | { type: 'ready' }
  /** The schema is one; what follows is the input's cost. */
  | { type: 'compiled' }
  | { type: 'faults'; faults: Faults; isObject: boolean; hasField: boolean; text: TextFaults }
  | { type: 'unfit'; why: string }
  /** Something went wrong, as where a schema goes deeper into the input than the stack. */
  | { type: 'failed'; why: string }
  | ({ type: 'body' } & ReadBody)
  | { type: 'refused'; code: ErrorCode; detail: string }
  | { type: 'hash'; hash: string }

/** A large body, without what the task is given. */
export interface ReadBody {
  rest: unknown
  /** As JSON text; undefined: there is none. */
  input: string | undefined
}

/** Of a larger input only the first bad field is looked for: half a million of them are no help to anybody. */
const ALL_FIELDS_UP_TO_CHARS = 64 * 1024
/** Of a large body, all that is not the input. */
const MOST_REST_CHARS = 64 * 1024

function answer(message: ThreadAnswer): void {
  parentPort?.postMessage(message)
}

function check({ schema, input: text, field }: CheckRequest): ThreadAnswer {
  let check: ReturnType<typeof compileSchema>
  try {
    check = compileSchema(schema, text.length <= ALL_FIELDS_UP_TO_CHARS)
  } catch (error) {
    return { type: 'unfit', why: messageOf(error) }
  }
  answer({ type: 'compiled' })
  const input: unknown = JSON.parse(text)
  const isObject = typeof input === 'object' && input !== null && !Array.isArray(input)
  const hasField = isObject && field !== undefined && Object.hasOwn(input, field)
  return { type: 'faults', faults: check(input), isObject, hasField, text: textFaultsOf(text) }
}

function read({ body: bytes }: ReadRequest): ThreadAnswer {
  const json = textOfBody(bytes)
  // Of these, as of a result: what holds it then takes many times the memory of its text.
  const excess = excessOfJson(measureJson(json, MOST_JSON_DEPTH), { isMessage: true })
  if (excess !== null) throw new ScError('SC_TASK_INPUT', `The input ${excess}. ${BY_FILE}`)
  const body = parseBody(json)
  const isObject = typeof body === 'object' && body !== null && !Array.isArray(body)
  const { input, ...rest } = (isObject ? body : {}) as Record<string, unknown>
  const text = input === undefined ? undefined : JSON.stringify(input)
  // 1e20 is written with all its digits.
  if ((text?.length ?? 0) > bytes.length + MOST_ADDED) throw tooManyDigits('The input')
  if (!isObject || JSON.stringify(rest).length > MOST_REST_CHARS)
    throw new ScError(
      'SC_BAD_REQUEST',
      `A body of ${bytes.length} bytes must be an object with \`input\`, and all else in it at most ${MOST_REST_CHARS} characters.`
    )
  return { type: 'body', rest, input: text }
}

function hash({ schema, input, rest }: HashRequest): ThreadAnswer {
  const given = withDefaults(JSON.parse(schema), JSON.parse(input))
  return { type: 'hash', hash: hashOfRequest({ ...rest, input: given }) }
}

function handle(request: ThreadRequest): ThreadAnswer {
  if ('body' in request) return read(request)
  return 'rest' in request ? hash(request) : check(request)
}

parentPort?.on('message', (request: ThreadRequest) => {
  try {
    answer(handle(request))
  } catch (error) {
    if (error instanceof ScError) answer({ type: 'refused', code: error.code, detail: error.message })
    else answer({ type: 'failed', why: messageOf(error) })
  }
})
answer({ type: 'ready' })

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
