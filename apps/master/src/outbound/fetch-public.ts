import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { ScError } from '@sc/shared/errors.ts'
import { isPublicAddress, refuseUrl } from './public-address.ts'
import { resolveName } from './resolve-name.ts'

/**
 * The one way in which the master calls an address that a client gave. The name is resolved once, every address it has
 * must be public, and the connection goes to those that were checked, so that a name cannot change its mind in
 * between. Redirects are followed by hand, each checked the same way.
 */
export interface FetchPublicOptions {
  readonly method?: 'GET' | 'POST'
  readonly headers?: Record<string, string>
  readonly body?: string
  readonly signal?: AbortSignal
  /** For the whole call, redirects included; default 10 s. */
  readonly timeoutMs?: number
  /** Default 3. 0: one is answered with its own status. */
  readonly maxRedirects?: number
  /** Default: true. False: the call is over with the head of the answer, whatever becomes of its body. */
  readonly readsBody?: boolean
  /** For tests: which addresses may be called, and what a name resolves to. */
  readonly allows?: (address: string) => boolean
  readonly lookup?: (hostname: string) => Promise<string[]>
}

export interface PublicAnswer {
  readonly status: number
  /** Of its head `Retry-After`. */
  readonly retryAfter: string | undefined
  /** The first 64 KiB. */
  readonly body: string
}

const TIMEOUT_MS = 10_000
const MAX_REDIRECTS = 3
const MAX_BODY_BYTES = 64 * 1024
const REDIRECTS = new Set([301, 302, 303, 307, 308])

/** Throws SC_BAD_REQUEST for an address that may not be called, SC_UNAVAILABLE when nothing answers. */
export async function fetchPublic(address: string, options: FetchPublicOptions = {}): Promise<PublicAnswer> {
  const { timeoutMs = TIMEOUT_MS, maxRedirects = MAX_REDIRECTS, signal } = options
  const deadline = AbortSignal.timeout(timeoutMs)
  const stop = signal ? AbortSignal.any([signal, deadline]) : deadline
  let url = parseUrl(address)
  let method = options.method ?? 'GET'
  for (let redirects = 0; ; redirects++) {
    const answer = await callOnce(url, method, options, stop)
    const target = maxRedirects > 0 && REDIRECTS.has(answer.status) ? answer.location : undefined
    if (target === undefined) return { status: answer.status, retryAfter: answer.retryAfter, body: answer.body }
    if (redirects === maxRedirects)
      throw new ScError('SC_UNAVAILABLE', `${url.host} redirects more than ${maxRedirects} times.`)
    url = parseUrl(target, url)
    // As browsers do: only 307 and 308 keep the method and the body.
    if (answer.status < 307) method = 'GET'
  }
}

interface OneAnswer extends PublicAnswer {
  readonly location: string | undefined
}

async function callOnce(url: URL, method: string, options: FetchPublicOptions, stop: AbortSignal): Promise<OneAnswer> {
  const addresses = (await resolveChecked(url, options, stop)).map(address => ({ address, family: isIP(address) }))
  const body = method === 'POST' ? (options.body ?? '') : undefined
  const [first] = addresses
  // Node tries all of them until one answers (its `autoSelectFamily`): where there is no IPv6, such an address leads nowhere.
  const pinned: LookupFunction = (_name, { all }, done) =>
    all ? done(null, addresses) : done(null, first?.address ?? '', first?.family)
  const send = url.protocol === 'https:' ? requestHttps : requestHttp
  const { promise, resolve, reject } = Promise.withResolvers<OneAnswer>()
  const call = send(url, {
    method,
    agent: false,
    lookup: pinned,
    signal: stop,
    headers: { ...options.headers, ...(body !== undefined && { 'content-length': `${Buffer.byteLength(body)}` }) }
  })
  call.once('error', reject)
  call.once('response', response => {
    const { statusCode: status = 0, headers } = response
    const head = { status, retryAfter: headers['retry-after'], location: headers.location }
    if (options.readsBody ?? true) readStart(response).then(body => resolve({ ...head, body }), reject)
    else resolve({ ...head, body: '' })
  })
  call.end(body)
  try {
    return await promise
  } catch (error) {
    if (options.signal?.aborted) throw new ScError('SC_CANCELLED', `Stopped while calling ${url.host}.`)
    const why = stop.aborted ? 'no answer in time' : textOf(error as Error)
    throw new ScError('SC_UNAVAILABLE', `Calling ${url.host} failed: ${why}`, { cause: error })
  } finally {
    call.destroy()
  }
}

/** The addresses to connect to, at least one. */
async function resolveChecked(url: URL, options: FetchPublicOptions, stop: AbortSignal): Promise<string[]> {
  const { allows = isPublicAddress, lookup = (name: string) => resolveName(name, stop) } = options
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const found = isIP(host) ? [host] : await beforeAbort(lookup(host), stop, host)
  const wrong = found.find(address => !allows(address))
  if (wrong !== undefined || found[0] === undefined)
    throw new ScError('SC_BAD_REQUEST', `${url.host} is not called: it leads to ${wrong ?? 'no address'}.`)
  return found
}

async function beforeAbort(finding: Promise<string[]>, stop: AbortSignal, host: string): Promise<string[]> {
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(new Error('no answer in time'))
  stop.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([finding, promise])
  } catch (error) {
    throw new ScError('SC_UNAVAILABLE', `${host} could not be resolved: ${(error as Error).message}`, { cause: error })
  } finally {
    stop.removeEventListener('abort', onAbort)
  }
}

/** Of several addresses that refused there is an AggregateError without a message. */
function textOf(error: Error): string {
  const errors = error instanceof AggregateError ? (error.errors as Error[]) : [error]
  return errors.map(({ message }) => message).join('; ')
}

async function readStart(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= MAX_BODY_BYTES) break
  }
  return Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES).toString('utf8')
}

function parseUrl(address: string, base?: URL): URL {
  if (!URL.canParse(address, base?.href))
    throw new ScError('SC_BAD_REQUEST', `"${address.slice(0, 200)}" is not an address.`)
  const url = new URL(address, base)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') throw new ScError('SC_BAD_REQUEST', `${refuseUrl(url)}.`)
  return url
}
