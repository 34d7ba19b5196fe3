/**
 * DESIGN: what this worker reports, written to its own stream in order, at least once.
 *
 * Messages wait in a buffer; one batch at a time is on its way, as one entry of the stream, so that it is there whole and
 * in order or not at all. A message of more than LARGEST_ENTRY characters goes alone, in parts. What is urgent goes with all
 * else of the same turn of the event loop; what is not waits LATER_MS for company. While Redis is away the buffer grows:
 * beyond MAX_WAITING progress is dropped, then logs; what ends an attempt never is (there are at most as many of those as
 * slots have units at once). A batch whose answer was lost is sent again: the reader knows a message by its attemptId.
 */
import { ScError } from '@sc/shared/errors.ts'
import { measureJson, writtenLength } from '@sc/shared/json-depth.ts'
import { excessOfJson } from '@sc/shared/json-excess.ts'
import type { Logger } from '@sc/shared/log.ts'
import { LARGEST_ENTRY, LARGEST_MESSAGE, MOST_OUTPUT_DEPTH, type OutboxMessage } from '@sc/shared/outbox-message.ts'
import type { Redis } from '@sc/shared/redis.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'

const MAX_WAITING = 2_000
const MAX_BATCH = 200
/** Characters of a batch beside its messages. */
const MOST_AROUND = MAX_BATCH + 2
const LATER_MS = 10
const RETRY_MS = 250

/** Of so many writes the quickest took as long as the way to Redis and back; the others waited for something, too. */
const TRIPS = 16

export interface Outbox {
  /** Between this worker and Redis, by the last writes; 0 before the first. */
  readonly roundTripMs: number
  /** Resolves when the message is in the stream: true, or false when it was dropped or the outbox closed first. */
  add(message: OutboxMessage, options?: { isUrgent: boolean }): Promise<boolean>
  /** Writes what is left, for at most `timeoutMs`. */
  close(timeoutMs: number): Promise<void>
}

interface Waiting {
  type: OutboxMessage['type']
  json: string
  settle(written: boolean): void
}

export function openOutbox(redis: Redis, workerId: string, log: Logger): Outbox {
  const key = outboxKey(workerId)
  let waiting: Waiting[] = []
  let writing: Promise<void> | undefined
  let later: NodeJS.Timeout | undefined
  let isSoon = false
  let closed = false
  let tripsMs: number[] = []

  async function writeAll(): Promise<void> {
    while (waiting.length > 0 && !closed) {
      const batch = nextBatch(waiting)
      if (await write(batch)) {
        waiting = waiting.slice(batch.length)
        for (const message of batch) message.settle(true)
      } else {
        await sleep(RETRY_MS)
      }
    }
  }

  async function write(batch: Waiting[]): Promise<boolean> {
    // A command given now would wait inside the client, out of reach of the bound.
    if (redis.status !== 'ready') return false
    try {
      const text = `[${batch.map(({ json }) => json).join(',')}]`
      if (text.length <= LARGEST_ENTRY + MOST_AROUND) return await writeWhole(text)
      const parts = partsOf(text)
      for (const [at, part] of parts.entries()) await redis.xadd(key, '*', 'm', part, 'p', `${at}/${parts.length}`)
      return true
    } catch (error) {
      log.warn({ err: error, messages: batch.length }, 'The outbox could not be written; it is tried again')
      return false
    }
  }

  async function writeWhole(text: string): Promise<boolean> {
    const startMs = performance.now()
    const id = await redis.xadd(key, '*', 'm', text)
    tripsMs = [...tripsMs, performance.now() - startMs].slice(-TRIPS)
    return id !== null
  }

  function startNow(): void {
    isSoon = false
    start()
  }

  function start(): void {
    clearTimeout(later)
    later = undefined
    writing ??= writeAll().finally(() => {
      writing = undefined
      if (waiting.length > 0 && !closed) start()
    })
  }

  /** Makes room by dropping the oldest message of least value. A batch on its way stays. */
  function makeRoom(): void {
    for (const type of ['progress', 'log'] as const) {
      if (waiting.length < MAX_WAITING) return
      const at = waiting.findIndex((message, index) => index >= MAX_BATCH && message.type === type)
      if (at !== -1) waiting.splice(at, 1)[0]?.settle(false)
    }
  }

  function add(message: OutboxMessage, { isUrgent } = { isUrgent: true }): Promise<boolean> {
    if (closed) return Promise.resolve(false)
    makeRoom()
    const { promise, resolve } = Promise.withResolvers<boolean>()
    waiting.push({ type: message.type, json: toJson(message), settle: resolve })
    if (isUrgent || waiting.length >= MAX_BATCH) {
      if (!isSoon) setImmediate(startNow)
      isSoon = true
    } else later ??= setTimeout(start, LATER_MS)
    return promise
  }

  async function flushed(): Promise<void> {
    if (waiting.length > 0) start()
    while (writing) await writing
  }

  async function close(timeoutMs: number): Promise<void> {
    await Promise.race([flushed(), sleep(timeoutMs)])
    closed = true
    if (waiting.length > 0) log.warn({ messages: waiting.length }, 'Redis stayed away: messages are lost')
    for (const message of waiting) message.settle(false)
  }

  return {
    get roundTripMs() {
      return tripsMs.length > 0 ? Math.min(...tripsMs) : 0
    },
    add,
    close
  }
}

/** A result that is too large or too deep is an error of its task; what is only told does without. */
function toJson(message: OutboxMessage): string {
  const { json, excess } = tryJson(message)
  if (excess === null) return json
  if (message.type === 'progress') return JSON.stringify({ ...message, partial: undefined })
  if (message.type === 'log') return JSON.stringify({ ...message, message: excess, fields: undefined })
  if (message.type !== 'result') return json
  const { output: _, ...about } = message
  const error = new ScError(
    'SC_TASK_FAILED',
    `The output ${excess}. Write it to a file of your own, and answer where it is.`
  )
  return JSON.stringify({ ...about, type: 'error', error: error.toReport(), retryable: false })
}

/** `excess`: why no master would take it; null: it would. */
function tryJson(message: OutboxMessage): { json: string; excess: string | null } {
  let json: string
  try {
    json = JSON.stringify(message)
  } catch {
    // So deep that the stack does not suffice.
    return { json: '', excess: `is nested in more than ${MOST_OUTPUT_DEPTH} levels` }
  }
  // In a list of one.
  const length = writtenLength(json) + 2
  if (length > LARGEST_MESSAGE) {
    const size = `${(length / 1024 ** 2).toFixed(1)} MB; ${LARGEST_MESSAGE / 1024 ** 2} MB are the most`
    return { json, excess: `has ${size}` }
  }
  const measure = measureJson(json, MOST_OUTPUT_DEPTH)
  if (measure.isDeeper) return { json, excess: `is nested in more than ${MOST_OUTPUT_DEPTH} levels` }
  return { json, excess: excessOfJson(measure, { isMessage: false }) }
}

/** Pieces of at most LARGEST_ENTRY characters, none of which ends within a pair of surrogates. */
function partsOf(text: string): string[] {
  const parts: string[] = []
  for (let at = 0; at < text.length; ) {
    const end = at + LARGEST_ENTRY
    const isWithin = end < text.length && (text.slice(end - 1, end + 1).codePointAt(0) as number) > 0xffff
    parts.push(text.slice(at, isWithin ? end - 1 : end))
    at = isWithin ? end - 1 : end
  }
  return parts
}

/** The first messages, as many as make one entry. */
function nextBatch(waiting: Waiting[]): Waiting[] {
  let length = 0
  const end = waiting.findIndex(({ json }, at) => {
    length += json.length
    return at === MAX_BATCH || (at > 0 && length > LARGEST_ENTRY)
  })
  return waiting.slice(0, end === -1 ? waiting.length : end)
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms))
}
