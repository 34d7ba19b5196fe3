import { pause } from '@sc/shared/pause.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { type Client, parseClients } from './client-list.ts'

/** Redis takes 10,000 clients: below this nobody is short of one. */
const LOOK_ABOVE = 500
/** Of one login. A worker has two, and its doctor a few. */
const MOST_EACH = 32
/** Without a login. */
const MOST_NAMELESS = 100
const NAMELESS_SECONDS = 5
/** Above it, who is nameless for longer than OLD_MS goes: also workers that all come back at once log in within milliseconds. */
const FAR_TOO_MANY_NAMELESS = 1_000
/** The same for one address, of which so many stay. */
const MOST_NAMELESS_OF_ADDRESS = 64
const OLD_MS = 1_000
const LOOK_EVERY_MS = 1_000
/** While nameless ones come fast. */
const LOOK_AGAIN_MS = 250
/** The user of who has not logged in. */
const NAMELESS = 'default'

/** What answers that nobody reads, and commands that are not whole, may take. A worker pops 20 messages of 3 MB at once. */
const MOST_MEMORY_BYTES = 80 * 1024 ** 2
/** A join code asks one question. */
const MOST_MEMORY_OF_CODE_BYTES = 8 * 1024 ** 2
/**
 * What a master reads of an outbox in a second, and what an outbox may hold (`outbox-sizes.ts`), which a worker may have kept
 * through an outage: who sends more fills Redis or its append-only file, or keeps it busy with commands of many words.
 */
const WORKER_INPUT = { bytesPerS: 8 * 1024 ** 2, burstBytes: 96 * 1024 ** 2 }
/** A machine that joins sends half a kilobyte, and asks for the answer ten times a second: 1 KB. */
const CODE_INPUT = { bytesPerS: 64 * 1024, burstBytes: 256 * 1024 }
/** A worker writes in batches. Servers before Valkey 8 do not count. */
const COMMANDS_PER_S = 5_000
/**
 * What a connection both sent and was answered: of many small commands, refused ones too, which no server counts. One of ours
 * is either sent messages or sends them.
 */
const CHATTER_BYTES_PER_S = 1024 ** 2
/** So much of commands and chatter may come at once. */
const BURST_SECONDS = 10

/** What a login sent lately, less what it may send: it is too much above a burst. */
interface Sent {
  bytes: number
  commands: number
  chatterBytes: number
}

/**
 * Ends connections of a login that has far too many, holds much of Redis's memory, or sends without end; and of those who do
 * not log in. Logins of workers and join codes only; what the masters' own login does is theirs.
 */
export function watchConnections(deps: {
  redis: Redis
  log: Logger
  /** Redis is the master's own, where `default` is nobody's login. */
  isOurs: boolean
  onFlood(workerId: string, reason: string): void
  /** Of somebody who has only a join code. */
  onCodeFlood(codeId: string): Promise<void>
}): { stop(): Promise<void> } {
  const { redis, log, isOurs } = deps
  const stopping = new AbortController()
  /** As of the last look. */
  let before = new Map<string, Client>()
  let sent = new Map<string, Sent>()
  /** By id, when they were seen first. */
  let nameless = new Map<string, number>()
  let lastLookMs = performance.now()

  async function look(): Promise<void> {
    const askedMs = performance.now()
    const clients = parseClients(String(await redis.client('LIST')))
    const nowMs = performance.now()
    const seconds = (nowMs - lastLookMs) / 1_000
    lastLookMs = nowMs
    await lookAtNameless(clients, askedMs, nowMs)
    const byUser = Map.groupBy(clients, ({ user }) => user)
    const sentBefore = sent
    sent = new Map()
    for (const [user, own] of byUser) {
      if (!/^(w|join)-/.test(user)) continue
      const total = addUp(own, sentBefore.get(user), seconds, inputOf(user).bytesPerS)
      sent.set(user, total)
      const reason = tooMuch(user, own, total, clients.length)
      if (reason !== undefined) await end(user, reason)
    }
    before = new Map(clients.map(client => [client.id, client]))
  }

  function addUp(own: Client[], last: Sent | undefined, seconds: number, bytesPerS: number): Sent {
    const total = {
      bytes: (last?.bytes ?? 0) - seconds * bytesPerS,
      commands: (last?.commands ?? 0) - seconds * COMMANDS_PER_S,
      chatterBytes: (last?.chatterBytes ?? 0) - seconds * CHATTER_BYTES_PER_S
    }
    for (const { id, ageSeconds, inputBytes, outputBytes, commands } of own) {
      const then = before.get(id)
      // Older than the last look, and not in it: this master has just begun to look.
      if (!then && ageSeconds > seconds + 1) continue
      const [came, went] = [inputBytes - (then?.inputBytes ?? 0), outputBytes - (then?.outputBytes ?? 0)]
      total.bytes += came
      total.commands += commands - (then?.commands ?? 0)
      total.chatterBytes += Math.min(came, went)
    }
    return {
      bytes: Math.max(0, total.bytes),
      commands: Math.max(0, total.commands),
      chatterBytes: Math.max(0, total.chatterBytes)
    }
  }

  async function end(user: string, reason: string): Promise<void> {
    sent.delete(user)
    log.warn({ user }, `connections to Redis of a login ended: ${reason}`)
    await redis.client('KILL', 'USER', user)
    if (isWorker(user)) deps.onFlood(user, reason)
    else await deps.onCodeFlood(user)
  }

  /** Between the answer to an earlier look and the question of this one it was nameless for sure. */
  async function lookAtNameless(clients: Client[], askedMs: number, nowMs: number): Promise<void> {
    const own = clients.filter(({ user }) => user === NAMELESS)
    nameless = new Map(own.map(({ id }) => [id, nameless.get(id) ?? nowMs]))
    // Redis counts whole seconds by the clock: the first may have been a moment.
    const isOld = ({ id, ageSeconds }: Client): boolean =>
      askedMs - (nameless.get(id) ?? nowMs) > OLD_MS || ageSeconds > OLD_MS / 1_000
    const tooMany = [...Map.groupBy(own, ({ address }) => address).values()].flatMap(ofAddress =>
      byAge(ofAddress).slice(0, -MOST_NAMELESS_OF_ADDRESS)
    )
    const old = isOurs ? (own.length > FAR_TOO_MANY_NAMELESS ? own : tooMany).filter(isOld) : []
    const veryOld =
      clients.length >= LOOK_ABOVE && own.length > MOST_NAMELESS
        ? own.filter(({ ageSeconds }) => ageSeconds >= NAMELESS_SECONDS)
        : []
    await endNameless(new Set([...old, ...veryOld].map(({ id }) => id)))
  }

  async function endNameless(ids: Set<string>): Promise<void> {
    if (ids.size === 0) return
    const pipeline = redis.pipeline()
    for (const id of ids) pipeline.client('KILL', 'ID', id)
    await pipeline.exec()
    log.warn({ connections: ids.size }, 'connections to Redis that never logged in: ended')
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      if (redis.status === 'ready')
        await look().catch(error => log.debug({ err: error }, 'connections were not looked at'))
      await pause(nameless.size > FAR_TOO_MANY_NAMELESS ? LOOK_AGAIN_MS : LOOK_EVERY_MS, stopping.signal)
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}

/** The oldest first. */
function byAge(clients: Client[]): Client[] {
  return clients.toSorted((a, b) => Number(a.id) - Number(b.id))
}

function isWorker(user: string): boolean {
  return user.startsWith('w-')
}

function inputOf(user: string): typeof WORKER_INPUT {
  return isWorker(user) ? WORKER_INPUT : CODE_INPUT
}

/** What no worker of ours does; undefined: in order. */
function tooMuch(
  user: string,
  own: Client[],
  { bytes, commands, chatterBytes }: Sent,
  connected: number
): string | undefined {
  if (connected >= LOOK_ABOVE && own.length > MOST_EACH)
    return `it had ${own.length} connections to Redis; ${MOST_EACH} are the most`
  const memoryBytes = own.reduce((sum, client) => sum + client.memoryBytes, 0)
  const mostBytes = isWorker(user) ? MOST_MEMORY_BYTES : MOST_MEMORY_OF_CODE_BYTES
  if (memoryBytes > mostBytes)
    return `its connections held ${memoryBytes} bytes of Redis's memory: it sent commands and did not read the answers`
  const { bytesPerS, burstBytes } = inputOf(user)
  if (bytes > burstBytes) return `it sent more than ${bytesPerS} bytes a second to Redis, without a pause`
  if (commands > BURST_SECONDS * COMMANDS_PER_S || chatterBytes > BURST_SECONDS * CHATTER_BYTES_PER_S)
    return `it gave more than ${COMMANDS_PER_S} small commands a second to Redis, without a pause`
  return undefined
}
