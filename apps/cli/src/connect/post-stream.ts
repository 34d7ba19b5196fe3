/**
 * A POST whose body comes from a stream, by node:http: fetch takes the body faster than it sends it (measured with
 * Node 24.21: 1.2 GB of memory for a body of 1 GB, 0.15 GB this way).
 */
import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { text } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'

export interface StreamPost {
  headers: Record<string, string>
  body: AsyncIterable<Uint8Array>
  signal: AbortSignal
}

/** Resolves as soon as the other side answers, also when it has not read the whole body. */
export async function postStream(url: string, { headers, body, signal }: StreamPost): Promise<Response> {
  const request = (url.startsWith('https:') ? requestHttps : requestHttp)(url, { method: 'POST', headers, signal })
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    request.on('error', reject)
  })
  const sent = pipeline(body, request, { signal })
  // A refusal in the middle of the upload breaks the pipe: the answer tells more than that.
  sent.catch(() => {})
  try {
    const answer = await answered
    return new Response(await text(answer), { status: answer.statusCode as number })
  } finally {
    request.destroy()
  }
}
