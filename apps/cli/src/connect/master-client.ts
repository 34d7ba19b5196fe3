/** Requests to the master with the key; every failure comes out as an error of the table. */
import { isErrorCode, ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { MasterAddress } from './find-master.ts'
import { postStream, type StreamPost } from './post-stream.ts'

export interface MasterClient {
  readonly url: string
  /** Answers with a status of 2xx, or throws. */
  send(path: string, init?: RequestInit): Promise<Response>
  /** As `send`, for a body of any size. */
  postStream(path: string, post: StreamPost): Promise<Response>
  get<T>(path: string, schema: z.ZodType<T>, signal?: AbortSignal): Promise<T>
  /** As `send`; `body` goes as JSON, and the answer is checked. */
  ask<T>(method: 'POST' | 'DELETE', path: string, schema: z.ZodType<T>, more: Ask): Promise<T>
}

export interface Ask {
  body?: object
  signal: AbortSignal
}

const problemSchema = z.object({ code: z.string(), title: z.string().optional(), detail: z.string().optional() })

export function createMasterClient({ url, key }: MasterAddress): MasterClient {
  async function settle(path: string, asked: Promise<Response>, signal?: AbortSignal | null): Promise<Response> {
    const response = await asked.catch((error: unknown) => {
      signal?.throwIfAborted()
      throw unreachable(url, error)
    })
    if (!response.ok) throw await problemOf(response, path)
    return response
  }

  const authorization = `Bearer ${key}`

  async function send(path: string, init: RequestInit = {}): Promise<Response> {
    const headers = new Headers(init.headers)
    headers.set('authorization', authorization)
    return await settle(path, fetch(url + path, { ...init, headers }), init.signal)
  }

  async function read<T>(path: string, schema: z.ZodType<T>, init: RequestInit): Promise<T> {
    const response = await send(path, init)
    const body = await response.json().catch((error: unknown) => {
      init.signal?.throwIfAborted()
      throw unreachable(url, error)
    })
    const parsed = schema.safeParse(body)
    if (parsed.success) return parsed.data
    throw new ScError('SC_PROTOCOL_VERSION', `${url}${path} answered something else: ${z.prettifyError(parsed.error)}`)
  }

  /** What the master has against the key, or null. */
  async function refusalOf(path: string, signal: AbortSignal): Promise<ScError | null> {
    const error = await send(path, { signal }).then(
      () => null,
      (thrown: unknown) => thrown
    )
    return error instanceof ScError && (error.status === 401 || error.status === 403) ? error : null
  }

  return {
    url,
    send,
    postStream: async (path, post) => {
      const answer = postStream(url + path, { ...post, headers: { ...post.headers, authorization } })
      // A refusal in the middle of an upload can be lost with the pipe that it breaks: a request without a body hears it.
      answer.catch(() => {})
      const refused = await answer.then(
        () => null,
        error => (isBrokenPipe(error) ? refusalOf('/api/jobs?limit=1', post.signal) : null)
      )
      if (refused) throw refused
      return await settle(path, answer, post.signal)
    },
    get: async (path, schema, signal) => await read(path, schema, { signal: signal ?? null }),
    ask: async (method, path, schema, { body, signal }) => {
      const json = body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
      return await read(path, schema, { method, signal, ...json })
    }
  }
}

function unreachable(url: string, error: unknown): ScError {
  const reason = firstCause(error)
  return new ScError('SC_UNAVAILABLE', `No answer from the master at ${url}: ${reason}. Does it run?`, { cause: error })
}

function isBrokenPipe(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EPIPE' || error.code === 'ECONNRESET')
}

/** fetch hides what happened (ECONNREFUSED, ECONNRESET, …) in the cause. */
function firstCause(error: unknown): string {
  let cause = error
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause
  const { code, message } = cause as NodeJS.ErrnoException
  return message || code || String(cause)
}

async function problemOf(response: Response, path: string): Promise<ScError> {
  const text = await response.text().catch(() => '')
  const problem = problemSchema.safeParse(parseJson(text)).data
  if (!problem) {
    const start = text.slice(0, 200).trim()
    return new ScError('SC_INTERNAL', `${path} answered ${response.status}${start ? `: ${start}` : ''}`)
  }
  const { code, title, detail } = problem
  if (isErrorCode(code)) return new ScError(code, detail ?? title ?? '')
  return new ScError('SC_INTERNAL', `${title}: ${detail} (${code})`)
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
