import { ScError } from '@sc/shared/errors.ts'
import { isRecord } from '@sc/shared/is-record.ts'
import { MOST_JSON_DEPTH, measureJson } from '@sc/shared/json-depth.ts'
import { excessOfJson } from '@sc/shared/json-excess.ts'
import type { HashRequest, ReadRequest, ThreadAnswer } from './check-thread.ts'
import { BY_FILE, parseBody, textOfBody } from './json-body.ts'
import { hashOfRequest, withDefaults } from './request-hash.ts'
import { MOST_ADDED, TOO_MANY_DIGITS } from './text-faults.ts'

/** Of a large body, all that is not the input. */
const MOST_REST_CHARS = 64 * 1024

export function readLargeOrRefuse(request: ReadRequest): ThreadAnswer {
  try {
    return readLarge(request)
  } catch (error) {
    if (error instanceof ScError) return { type: 'refused', code: error.code, detail: error.message }
    throw error
  }
}

/** A large body, taken apart. SC_BAD_REQUEST, SC_TASK_INPUT. */
function readLarge({ body: bytes }: ReadRequest): ThreadAnswer {
  const json = textOfBody(bytes)
  // Of these, as of a result: what holds it then takes many times the memory of its text.
  const excess = excessOfJson(measureJson(json, MOST_JSON_DEPTH), { isMessage: true })
  if (excess !== null) throw new ScError('SC_TASK_INPUT', `The input ${excess}. ${BY_FILE}`)
  const body = parseBody(json)
  const isObject = isRecord(body)
  const { input, ...rest } = isObject ? body : {}
  const text = input === undefined ? undefined : JSON.stringify(input)
  // 1e20 is written with all its digits.
  if ((text?.length ?? 0) > bytes.length + MOST_ADDED)
    throw new ScError('SC_TASK_INPUT', `The input ${TOO_MANY_DIGITS}.`)
  if (!isObject || JSON.stringify(rest).length > MOST_REST_CHARS)
    throw new ScError(
      'SC_BAD_REQUEST',
      `A body of ${bytes.length} bytes must be an object with \`input\`, and all else in it at most ${MOST_REST_CHARS} characters.`
    )
  return { type: 'body', rest, input: text }
}

/** See `hashOfRequest`. */
export function hashLarge({ schema, input, rest }: HashRequest): ThreadAnswer {
  const given = withDefaults(JSON.parse(schema), JSON.parse(input))
  return { type: 'hash', hash: hashOfRequest({ ...rest, input: given }) }
}
