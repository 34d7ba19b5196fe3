/**
 * A transcription from its submission to its end: the events of the master, taken up again after the last one seen
 * when the connection breaks, with `GET /transcribe/{jobId}` asked before, between and after.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { ScError, toScError } from '@sc/shared/errors.ts'
import type { MasterClient } from '../connect/master-client.ts'
import { isFinished, type JobView, jobChangeSchema, jobViewSchema } from './job-view.ts'
import { readServerSentEvents } from './server-sent-events.ts'

export interface FollowOptions {
  signal: AbortSignal
  /** Between two looks when there are no events. */
  pollEveryMs?: number
  /** How long the master may be away before following it is given up. */
  patienceMs?: number
  /** A stream without a byte for so long is taken for dead: the master says something every 15 s. */
  silenceMs?: number
}

/** A look that is not answered within this is taken for lost. */
const ANSWER_MS = 15_000

export async function* followJob(client: MasterClient, jobId: string, options: FollowOptions): AsyncGenerator<JobView> {
  const { signal, pollEveryMs = 1_000, patienceMs = 120_000, silenceMs = 40_000 } = options
  const path = `/transcribe/${encodeURIComponent(jobId)}`
  let lastEventId: string | undefined
  let heardAtMs = performance.now()

  /** What may be over in a moment passes, until the patience is spent. */
  function tolerate(thrown: unknown): void {
    signal.throwIfAborted()
    const error = isTimeout(thrown)
      ? new ScError('SC_UNAVAILABLE', 'The master went silent.', { cause: thrown })
      : toScError(thrown)
    if (!error.retryable || performance.now() - heardAtMs > patienceMs) throw error
  }

  async function look(): Promise<JobView | undefined> {
    try {
      const view = await client.get(path, jobViewSchema, AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]))
      heardAtMs = performance.now()
      return view
    } catch (error) {
      tolerate(error)
      return undefined
    }
  }

  async function* listen(from: JobView): AsyncGenerator<JobView> {
    const headers = new Headers({ accept: 'text/event-stream' })
    if (lastEventId !== undefined) headers.set('last-event-id', lastEventId)
    let view = from
    // A socket that only receives does not notice that the other side is gone.
    const silence = new AbortController()
    const timer = setTimeout(() => silence.abort(new DOMException('silent', 'TimeoutError')), silenceMs)
    async function* heard(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
      for await (const bytes of body) {
        timer.refresh()
        yield bytes
      }
    }
    try {
      const either = AbortSignal.any([signal, silence.signal])
      const response = await client.send(`${path}/events`, { headers, signal: either })
      for await (const event of readServerSentEvents(heard(response.body as ReadableStream<Uint8Array>))) {
        heardAtMs = performance.now()
        lastEventId = event.lastEventId ?? lastEventId
        if (event.event === 'done') return
        const change = parseChange(event.event, event.data)
        if (!change) continue
        view = { ...view, ...change }
        yield view
      }
    } catch (error) {
      tolerate(error)
    } finally {
      clearTimeout(timer)
    }
  }

  while (true) {
    const view = await look()
    if (view) yield view
    if (view && isFinished(view)) return
    if (view) yield* listen(view)
    const last = await look()
    if (last) yield last
    if (last && isFinished(last)) return
    await sleep(pollEveryMs, undefined, { signal })
  }
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError'
}

/** A repeated event (after taking the stream up again) may carry an older state; the next look puts it right. */
function parseChange(event: string, data: string): Partial<JobView> | undefined {
  if (event !== 'status' && event !== 'progress') return undefined
  try {
    return jobChangeSchema.safeParse(JSON.parse(data)).data
  } catch {
    return undefined
  }
}
