/**
 * A transcription from its submission to its end: the events of the master, taken up again after the last one seen
 * when the connection breaks, with `GET /transcribe/{jobId}` asked before, between and after.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { toScError } from '@sc/shared/errors.ts'
import type { MasterClient } from '../connect/master-client.ts'
import { isFinished, type JobView, jobChangeSchema, jobViewSchema } from './job-view.ts'
import { readServerSentEvents } from './server-sent-events.ts'

export interface FollowOptions {
  signal: AbortSignal
  /** Between two looks when there are no events. */
  pollEveryMs?: number
  /** How long the master may be away before following it is given up. */
  patienceMs?: number
}

export async function* followJob(client: MasterClient, jobId: string, options: FollowOptions): AsyncGenerator<JobView> {
  const { signal, pollEveryMs = 1_000, patienceMs = 120_000 } = options
  const path = `/transcribe/${encodeURIComponent(jobId)}`
  let lastEventId: string | undefined
  let heardAtMs = performance.now()

  /** What may be over in a moment passes, until the patience is spent. */
  function tolerate(thrown: unknown): void {
    signal.throwIfAborted()
    const error = toScError(thrown)
    if (!error.retryable || performance.now() - heardAtMs > patienceMs) throw error
  }

  async function look(): Promise<JobView | undefined> {
    try {
      const view = await client.get(path, jobViewSchema, signal)
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
    try {
      const response = await client.send(`${path}/events`, { headers, signal })
      for await (const event of readServerSentEvents(response.body as ReadableStream<Uint8Array>)) {
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

/** A repeated event (after taking the stream up again) may carry an older state; the next look puts it right. */
function parseChange(event: string, data: string): Partial<JobView> | undefined {
  if (event !== 'status' && event !== 'progress') return undefined
  try {
    return jobChangeSchema.safeParse(JSON.parse(data)).data
  } catch {
    return undefined
  }
}
