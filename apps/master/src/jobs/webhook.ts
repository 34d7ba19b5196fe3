import { ScError } from '@sc/shared/errors.ts'
import { type FetchPublicOptions, fetchPublic } from '../outbound/fetch-public.ts'

/**
 * One POST of `body` as JSON to an address that a client gave. SC_UNAVAILABLE (another try can help): nothing answers,
 * or 429 or 5xx; SC_BAD_REQUEST: the address may not be called, or any other refusal.
 */
export async function deliverWebhook(
  url: string,
  body: unknown,
  options: Pick<FetchPublicOptions, 'signal' | 'lookup' | 'allows' | 'timeoutMs'> = {}
): Promise<void> {
  const { status } = await fetchPublic(url, {
    ...options,
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'content-type': 'application/json', 'user-agent': 'semantics-cluster' }
  })
  if (status >= 200 && status < 300) return
  const code = status === 429 || status >= 500 ? 'SC_UNAVAILABLE' : 'SC_BAD_REQUEST'
  throw new ScError(code, `The webhook at ${new URL(url).host} answered ${status}.`)
}
