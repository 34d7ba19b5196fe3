import { Redis } from 'ioredis'
import { ScError } from './errors.ts'
import { type Logger, withoutSecrets } from './log.ts'

/** The one file that makes connections to Redis. */
export type { Redis } from 'ioredis'

/** Longest time a blocking command may ask for on a connection made with `blocking`. */
export const MAX_BLOCK_MS = 5_000
const PING_EVERY_MS = 2_000
/** No byte for so long after a command: the socket is dead, whatever the kernel says. */
const SILENCE_MS = 5_000
const CONNECT_TIMEOUT_MS = 3_000
const LONGEST_BACKOFF_MS = 1_000

export interface RedisConnectOptions {
  /** Shown by `CLIENT LIST`. */
  name: string
  /** For BLMPOP, XREAD BLOCK and their like (at most MAX_BLOCK_MS each), which no ping can overtake. */
  blocking?: boolean
  /** For a login with few rights: asks the server nothing about itself, and takes no name. */
  restricted?: boolean
  /** Sends nothing by itself: no question, no name, no ping. */
  bare?: boolean
  log?: Logger
}

/**
 * A connection that comes back by itself, for ever, and notices within seconds that the other side is gone: a socket
 * that only receives would stay silent after an outage for as long again, so it pings, with a deadline. Commands wait
 * while it is away. Does not throw; `waitForRedis` says whether it works.
 */
export function connectRedis(
  url: string,
  { name, blocking = false, restricted = false, bare = false, log }: RedisConnectOptions
): Redis {
  const redis = new Redis(url, {
    ...((restricted || bare) && { enableReadyCheck: false, disableClientInfo: true }),
    ...(!bare && !restricted && { connectionName: name }),
    // No HELLO, which takes a name of any length: a master's own Redis has none.
    protocol: 2,
    maxRetriesPerRequest: null,
    keepAlive: PING_EVERY_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: blocking ? MAX_BLOCK_MS + SILENCE_MS : SILENCE_MS,
    retryStrategy: attempt => Math.min(50 * 2 ** Math.min(attempt - 1, 10), LONGEST_BACKOFF_MS),
    // After a failover the old master answers READONLY until the connection is made anew.
    reconnectOnError: error => (error.message.startsWith('READONLY') ? 2 : false)
  })
  let lastError = ''
  redis.on('error', (error: Error) => {
    const text = describe(error)
    if (text !== lastError)
      log?.warn(
        { redis: address(url), connection: name },
        `Redis ${isRefusal(error) ? 'refuses the login' : 'is away'}: ${text}`
      )
    lastError = text
  })
  redis.on('ready', () => {
    if (lastError) log?.info({ redis: address(url), connection: name }, 'Redis is back')
    lastError = ''
  })
  if (!blocking && !bare) keepPinging(redis, restricted)
  if (!restricted && !bare) staysConnected(redis)
  return redis
}

/** Resolves when commands are answered; SC_UNAVAILABLE after `timeoutMs`, SC_CONFIG at once when the login is refused. */
export function waitForRedis(
  redis: Redis,
  { timeoutMs = 10_000, signal }: { timeoutMs?: number; signal?: AbortSignal } = {}
): Promise<void> {
  const { host, port, db = 0 } = redis.options
  const where = `${host}:${port}`
  return new Promise((resolve, reject) => {
    let last = 'no answer'
    const timer = setTimeout(
      () =>
        end(new ScError('SC_UNAVAILABLE', `Redis at ${where} did not answer within ${timeoutMs / 1000} s: ${last}`)),
      timeoutMs
    )
    /** Without a login nothing was asked yet that Redis could refuse, and one database is as good as another to ioredis. */
    const onReady = () =>
      Promise.all([redis.client('ID'), db > 0 && redis.select(db)]).then(
        () => end(),
        (error: Error) => {
          if (/DB index/i.test(error.message))
            end(new ScError('SC_CONFIG', `Redis at ${where} has no database ${db}: ${error.message}`, { cause: error }))
          else if (isRefusal(error) && !error.message.startsWith('NOPERM')) onError(error)
          else end()
        }
      )
    const onAbort = () => end(new ScError('SC_CANCELLED', `stopped while waiting for Redis at ${where}`))
    const onError = (error: Error) => {
      last = describe(error)
      if (isRefusal(error))
        end(new ScError('SC_CONFIG', `Redis at ${where} refuses the login: ${last}`, { cause: error }))
    }
    function end(error?: ScError): void {
      clearTimeout(timer)
      redis.off('ready', onReady)
      redis.off('error', onError)
      signal?.removeEventListener('abort', onAbort)
      if (error) reject(error)
      else resolve()
    }
    redis.on('ready', onReady)
    redis.on('error', onError)
    signal?.addEventListener('abort', onAbort)
    if (signal?.aborted) onAbort()
    else if (redis.status === 'ready') void onReady()
  })
}

/** Whether Redis does not let this login in. */
export function isRefusal(error: Error): boolean {
  return /^(WRONGPASS|NOAUTH|NOPERM|ERR .*(password|AUTH))/i.test(describe(error))
}

const CANNOT_WORK = /^(BUSY|LOADING|OOM|READONLY|MISCONF) /

/** Refusals of Redis as a whole, on their way to a user. */
export function translateRedisError(error: unknown): unknown {
  if (!(error instanceof Error) || !CANNOT_WORK.test(error.message)) return error
  return new ScError('SC_UNAVAILABLE', `Redis cannot work just now: ${withoutSecrets(error.message)}`, { cause: error })
}

/** Ends a connection; the server's answer is waited for only when there is one. */
export async function closeRedis(redis: Redis): Promise<void> {
  if (redis.status === 'ready') await Promise.race([redis.quit().catch(() => {}), sleep(500)])
  redis.disconnect()
}

function sleep(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms).unref())
}

/** A ping on an idle connection gives `socketTimeout` something to wait for. */
function keepPinging(redis: Redis, restricted: boolean): void {
  const timer = setInterval(() => {
    if (redis.status !== 'ready') return
    // A login with few rights has no PING, which answers with what it was sent.
    const answer = restricted ? redis.client('ID') : redis.ping()
    answer.catch(() => {})
  }, PING_EVERY_MS).unref()
  redis.once('end', () => clearInterval(timer))
}

/** A Redis whose clients take too much memory (`maxmemory-clients`) ends others first. */
function staysConnected(redis: Redis): void {
  redis.on('ready', () => {
    redis.client('NO-EVICT', 'ON').catch(() => {})
  })
}

function describe(error: Error): string {
  // A refused connection to a name with several addresses is an AggregateError without a message.
  const first = error instanceof AggregateError ? (error.errors[0] as Error | undefined) : undefined
  return withoutSecrets((first ?? error).message || error.name)
}

function address(url: string): string {
  return new URL(url).host
}

/** Whether the address is of this machine alone. */
export function isLoopback(url: string): boolean {
  return /^(localhost|127\.[\d.]+|\[::1\])$/.test(new URL(url).hostname)
}
