import { parentPort } from 'node:worker_threads'
import type { ErrorCode } from '@sc/shared/errors.ts'
import { isRecord } from '@sc/shared/is-record.ts'
import type { RenderedTranscript, ResultFormat, TranscriptTask } from '../transcription/formats.ts'
import { compileSchema, type Faults } from './json-schema.ts'
import { type TextFaults, textFaultsOf } from './text-faults.ts'

/** A thread of `check-pool.ts`: does one request after the other, for as long as it takes; it may be ended at any time. */
export type ThreadRequest =
  | ({ type: 'check' } & CheckRequest)
  | ({ type: 'read' } & ReadRequest)
  | ({ type: 'hash' } & HashRequest)
  | ({ type: 'render' } & RenderRequest)

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

/** A long transcript in another format than its own. */
export interface RenderRequest {
  /** Of its document, on this machine's disk, and how long that is. */
  path: string
  bytes: number
  format: ResultFormat
  task: TranscriptTask
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
  | ({ type: 'rendered' } & RenderedTranscript)

/** A large body, without what the task is given. */
export interface ReadBody {
  rest: unknown
  /** As JSON text; undefined: there is none. */
  input: string | undefined
}

/** Of a larger input only the first bad field is looked for: half a million of them are no help to anybody. */
const ALL_FIELDS_UP_TO_CHARS = 64 * 1024
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
  const isObject = isRecord(input)
  const hasField = isObject && field !== undefined && Object.hasOwn(input, field)
  return { type: 'faults', faults: check(input), isObject, hasField, text: textFaultsOf(text) }
}

async function handle(request: ThreadRequest): Promise<ThreadAnswer> {
  // The others only when they are asked for: a thread that takes the place of one that was ended is to be there soon.
  switch (request.type) {
    case 'check':
      return check(request)
    case 'read':
      return (await import('./read-large.ts')).readLargeOrRefuse(request)
    case 'hash':
      return (await import('./read-large.ts')).hashLarge(request)
    case 'render':
      return await (await import('./render-large.ts')).renderLarge(request)
  }
}

parentPort?.on('message', (request: ThreadRequest) => {
  handle(request).then(answer, error => answer({ type: 'failed', why: messageOf(error) }))
})
answer({ type: 'ready' })

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
