import { isUtf8 } from 'node:buffer'
import { ScError } from '@sc/shared/errors.ts'
import { describeInexact, findInexactNumber, pathTo } from '@sc/shared/exact-numbers.ts'
import { findDeeperThan, MOST_JSON_DEPTH } from '@sc/shared/json-depth.ts'

/** A larger body is read in a thread of `check-pool.ts`: JSON of 16 MB may take a second. */
export const MOST_READ_HERE_BYTES = 1024 ** 2

/** What to do with more. */
export const BY_FILE = 'Write what is larger to a file, and pass where it is.'

/**
 * The text of a body, of which nothing becomes another value without a word: bytes that are no text, numbers that JavaScript
 * would round, depths at which whatever walks it runs out of stack. SC_BAD_REQUEST, SC_TASK_INPUT.
 */
export function textOfBody(bytes: Uint8Array): string {
  if (!isUtf8(bytes)) throw new ScError('SC_BAD_REQUEST', 'The body is no text in UTF-8, as JSON is.')
  // Without the mark of its encoding.
  const text = new TextDecoder().decode(bytes)
  const deepAt = findDeeperThan(text, MOST_JSON_DEPTH)
  if (deepAt >= 0) {
    const [name = ''] = pathTo(text, deepAt).split('.', 1)
    const whole = /^\d*$/.test(name) ? 'The body' : name
    throw refusal(name, `${whole} is nested in more than ${MOST_JSON_DEPTH} levels.`)
  }
  const inexact = findInexactNumber(text)
  if (inexact) throw refusal(inexact.path, `${describeInexact(inexact)}.`)
  return text
}

/** What a task is given is its input, wherever in the body the fault is found. */
function refusal(path: string, detail: string): ScError {
  return new ScError(/^input(\.|$)/.test(path) ? 'SC_TASK_INPUT' : 'SC_BAD_REQUEST', detail)
}

/** Refused are, as by fastify, names that reach into every object. SC_BAD_REQUEST. */
export function parseBody(text: string): unknown {
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (fault) {
    if (text.trim() === '') throw new ScError('SC_BAD_REQUEST', 'The body is empty; it came as application/json.')
    throw new ScError('SC_BAD_REQUEST', `The body is not JSON: ${fault instanceof Error ? fault.message : fault}`)
  }
  // Either name has `proto` in it, or an escape.
  if (/proto|\\u/.test(text) && hasForbiddenName(body))
    throw new ScError(
      'SC_BAD_REQUEST',
      'The body has a field __proto__, or constructor with prototype in it: rename it.'
    )
  return body
}

function hasForbiddenName(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (Array.isArray(value)) return value.some(hasForbiddenName)
  if (Object.hasOwn(value, '__proto__')) return true
  const { constructor: made } = value as { constructor: unknown }
  if (Object.hasOwn(value, 'constructor') && typeof made === 'object' && made && Object.hasOwn(made, 'prototype'))
    return true
  return Object.values(value).some(hasForbiddenName)
}
