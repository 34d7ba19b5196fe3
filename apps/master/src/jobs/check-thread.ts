import { parentPort } from 'node:worker_threads'
import { compileSchema, type Faults } from './json-schema.ts'

/** A thread of `check-pool.ts`: checks one input after the other, for as long as it takes; it may be ended at any time. */
export interface CheckRequest {
  /** JSON text, both. */
  schema: string
  input: string
  /** A field of the input, of which is asked whether it is there. */
  field?: string
}

export type CheckAnswer =
  | { type: 'ready' }
  /** The schema is one; what follows is the input's cost. */
  | { type: 'compiled' }
  | { type: 'faults'; faults: Faults; isObject: boolean; hasField: boolean }
  | { type: 'unfit'; why: string }
  /** Checking failed, as where a schema goes deeper into the input than the stack. */
  | { type: 'failed'; why: string }

/** Of a larger input only the first bad field is looked for: half a million of them are no help to anybody. */
const ALL_FIELDS_UP_TO_CHARS = 64 * 1024

function answer(message: CheckAnswer): void {
  parentPort?.postMessage(message)
}

parentPort?.on('message', ({ schema, input: text, field }: CheckRequest) => {
  let check: ReturnType<typeof compileSchema>
  try {
    check = compileSchema(schema, text.length <= ALL_FIELDS_UP_TO_CHARS)
  } catch (error) {
    return answer({ type: 'unfit', why: messageOf(error) })
  }
  answer({ type: 'compiled' })
  try {
    const input: unknown = JSON.parse(text)
    const isObject = typeof input === 'object' && input !== null && !Array.isArray(input)
    const hasField = isObject && field !== undefined && Object.hasOwn(input, field)
    answer({ type: 'faults', faults: check(input), isObject, hasField })
  } catch (error) {
    answer({ type: 'failed', why: messageOf(error) })
  }
})
answer({ type: 'ready' })

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
