import { isUtf8 } from 'node:buffer'
import { ScError } from '@sc/shared/errors.ts'
import { describeInexact, findInexactNumber, pathTo } from '@sc/shared/exact-numbers.ts'
import { findDeeperThan, MOST_JSON_DEPTH } from '@sc/shared/json-depth.ts'
import type { FastifyRequest } from 'fastify'
import type { App } from './app-deps.ts'

/**
 * As fastify reads it, up to a depth at which nothing that walks a body runs out of stack, and where nothing becomes another
 * value without a word: bytes that are no text, numbers that JavaScript would round.
 */
export function readJson(
  app: Pick<App, 'addContentTypeParser' | 'removeContentTypeParser' | 'getDefaultJsonParser'>
): void {
  // No route takes text: as `text/plain`, JSON would be one text.
  app.removeContentTypeParser('text/plain')
  const parse = app.getDefaultJsonParser('error', 'error')
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, bytes: Buffer, done) => {
    // Many clients say so of every request, also of those that have no body.
    if (bytes.length === 0 && request.routeOptions.schema?.body === undefined) return done(null, undefined)
    const text = bytes.toString('utf8')
    const fault = isUtf8(bytes)
      ? faultOf(text)
      : new ScError('SC_BAD_REQUEST', 'The body is no text in UTF-8, as JSON is.')
    if (fault !== null) return done(fault)
    void parse(request, text, (error, body) =>
      error ? done(new ScError('SC_BAD_REQUEST', describeJsonError(text))) : done(null, body)
    )
  })
}

function faultOf(text: string): ScError | null {
  const deepAt = findDeeperThan(text, MOST_JSON_DEPTH)
  if (deepAt >= 0) {
    const [name = ''] = pathTo(text, deepAt).split('.', 1)
    return refusal(name, `${/^\d*$/.test(name) ? 'The body' : name} is nested in more than ${MOST_JSON_DEPTH} levels.`)
  }
  const inexact = findInexactNumber(text)
  return inexact && refusal(inexact.path, `${describeInexact(inexact)}.`)
}

/** What a task is given is its input, wherever in the body the fault is found. */
function refusal(path: string, detail: string): ScError {
  return new ScError(/^input(\.|$)/.test(path) ? 'SC_TASK_INPUT' : 'SC_BAD_REQUEST', detail)
}

/** Unpacked, a small body may be of any size. */
export function refuseEncoded({ headers }: FastifyRequest): void {
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding.toLowerCase() === 'identity') return
  const detail = `The body came with content-encoding ${encoding}, which is not read here: send it as it is.`
  throw new ScError('SC_BAD_REQUEST', detail)
}

function describeJsonError(text: string): string {
  if (text.trim() === '') return 'The body is empty; it came as application/json.'
  try {
    JSON.parse(text)
  } catch (fault) {
    if (fault instanceof Error) return `The body is not JSON: ${fault.message}`
  }
  // All that the parser refuses beside what is no JSON.
  return 'The body has a field __proto__, or constructor with prototype in it: rename it.'
}
