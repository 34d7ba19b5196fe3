import { ScError, toScError } from '@sc/shared/errors.ts'
import { type FetchPublicOptions, fetchPublic } from '../outbound/fetch-public.ts'

/** What came of one attempt. */
export interface PostOutcome {
  /** Null: nothing answered. */
  status: number | null
  /** For how long it asks not to be called again. */
  retryAfterSeconds?: number
  /** SC_WEBHOOK_FAILED; SC_BAD_REQUEST: the address may not be called. Null: it was accepted. */
  error: ScError | null
}

/** How addresses that clients gave are called. */
export type Outbound = Pick<FetchPublicOptions, 'lookup' | 'allows' | 'timeoutMs'>

const GONE = 410

/** One POST of `body` to an address that a client gave. Throws SC_CANCELLED when the signal fires, and nothing else. */
export async function postWebhook(
  url: string,
  { body, headers }: { body: string; headers: Record<string, string> },
  options: Outbound & { signal?: AbortSignal } = {}
): Promise<PostOutcome> {
  const sent = { 'content-type': 'application/json', 'user-agent': 'semantics-cluster', ...headers }
  try {
    // To another address its body would go where nobody asked for it, or be left out.
    const call = { ...options, method: 'POST', body, headers: sent, maxRedirects: 0, readsBody: false } as const
    const { status, retryAfter } = await fetchPublic(url, call)
    if (status >= 200 && status < 300) return { status, error: null }
    return { status, error: refusal(new URL(url).host, status), ...toRetryAfter(retryAfter) }
  } catch (thrown) {
    const error = toScError(thrown)
    if (error.code === 'SC_CANCELLED') throw error
    const isAway = error.code === 'SC_UNAVAILABLE'
    return { status: null, error: isAway ? new ScError('SC_WEBHOOK_FAILED', error.message, { cause: error }) : error }
  }
}

/** Seconds, or a date. */
function toRetryAfter(value = ''): Pick<PostOutcome, 'retryAfterSeconds'> {
  const seconds = /^\d+$/.test(value) ? Number(value) : (Date.parse(value) - Date.now()) / 1_000
  return seconds > 0 ? { retryAfterSeconds: Math.ceil(seconds) } : {}
}

function refusal(host: string, status: number): ScError {
  const what = `The webhook at ${host} answered ${status}`
  if (status === GONE)
    return new ScError('SC_WEBHOOK_FAILED', `${what}: it takes no more, and is not tried again.`, { retryable: false })
  if (status >= 300 && status < 400)
    return new ScError(
      'SC_WEBHOOK_FAILED',
      `${what}. Redirects are not followed: give the address that it leads to as webhook_url.`
    )
  return new ScError('SC_WEBHOOK_FAILED', `${what}; a status from 200 to 299 accepts it.`)
}
