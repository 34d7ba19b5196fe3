/**
 * DESIGN. Whether Redis does its work, looked at every LOOK_EVERY_MS on a connection that nobody else uses: a PING, a write
 * of one key, how full it is. Health is a write that is answered, not a socket that is open.
 *
 *   working ──BUSY──▶ a script does not end: SCRIPT KILL ──▶ working
 *      │                  │ it has written, so that it cannot be ended
 *      │                  ▼
 *      ├──no answer in HUNG_TICKS──▶ hung: an embedded server is killed and started again by its supervisor (its data is an
 *      │                              append-only file, PostgreSQL knows the rest); another's is named in the doctor
 *      ├──OOM, or almost maxmemory──▶ full: named, with its largest keys; what waits goes on when there is room
 *      └──another refusal of the write (READONLY, MISCONF, NOPERM)──▶ named
 *
 * A Redis that cannot be reached is none of these: connections come back by themselves (`redis.ts`).
 */
import type { Finding } from '@sc/shared/doctor/finding.ts'
import { pause } from '@sc/shared/pause.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import type { Logger } from 'pino'
import { type Look, lookAtRedis } from './redis-look.ts'
import type { RedisMemory } from './redis-memory.ts'
import { describeTrouble, findingsOf, type Mended, type Trouble } from './redis-trouble.ts'

export interface RedisWatch {
  /** Why masters cannot work with Redis now, in one sentence; null: they can. */
  trouble(): string | null
  /** What is wrong, and what was mended lately, for the doctor. */
  findings(): Finding[]
  stop(): Promise<void>
}

export interface RedisWatchDeps {
  redisUrl: string
  log: Logger
  /** Kills an embedded server, which its supervisor starts again; undefined: it is not ours. */
  restart?: ((reason: string) => void) | undefined
  hungTicks?: number
}

const LOOK_EVERY_MS = 1_000
/** In a row without an answer: ticks, not time, since a master that is busy itself reads answers late. */
const HUNG_TICKS = 10
/** A server that was killed has so long to read its file and do its work. */
const RESTART_TICKS = 60
/** A frozen server closes nothing: longer without a connection, and it is away. */
const AWAY_TICKS = 3

export function startRedisWatch({ redisUrl, log, restart, hungTicks = HUNG_TICKS }: RedisWatchDeps): RedisWatch {
  const stopping = new AbortController()
  const isOurs = restart !== undefined
  // Bare: while a script runs Redis answers a login, and none of the questions that follow it.
  const redis = connectRedis(redisUrl, { name: 'master-watch', bare: true })
  let trouble: Trouble | null = null
  let memory: RedisMemory | null = null
  let mended: Mended | null = null
  let isLooking = false
  let silentTicks = 0
  let awayTicks = 0
  let restTicks = 0

  function is(next: Trouble | null): void {
    if (next && next.kind !== trouble?.kind) log.error(`Redis: ${describeTrouble(next, isOurs).found}`)
    if (!next && trouble) log.info('Redis works again')
    trouble = next
  }

  function mend(what: string): void {
    mended = { what, at: new Date() }
    log.warn(`Redis: ${what}`)
  }

  function killServer(reason: string): void {
    if (!restart || restTicks > 0) return
    restTicks = RESTART_TICKS
    restart(reason)
    mend(`${reason}; it was killed and started again`)
  }

  function take(look: Look): void {
    isLooking = false
    silentTicks = 0
    memory = look.memory
    is(look.trouble)
    if (!look.trouble) restTicks = 0
    if (look.hasEndedScript) mend('a script did not end and was ended by SCRIPT KILL')
    if (trouble?.kind === 'busy') killServer('a script does not end, and has written, so that it cannot be ended')
  }

  function tick(): void {
    if (restTicks > 0) restTicks--
    // `connect`: it was accepted, and waits for the answer to its login.
    awayTicks = redis.status === 'ready' || redis.status === 'connect' ? 0 : awayTicks + 1
    if (awayTicks >= AWAY_TICKS) silentTicks = 0
    if (awayTicks > 0) return
    if (!isLooking) {
      isLooking = true
      void lookAtRedis(redis).then(take)
    }
    if (++silentTicks <= hungTicks) return
    is({ kind: 'hung', seconds: Math.round((silentTicks * LOOK_EVERY_MS) / 1000) })
    killServer('it did not answer, though its port was open')
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      tick()
      await pause(LOOK_EVERY_MS, stopping.signal)
    }
  })()

  return {
    trouble: () => trouble && describeTrouble(trouble, isOurs).found,
    findings: () => findingsOf({ trouble, memory, mended, isOurs }),
    stop: async () => {
      stopping.abort()
      await running
      await closeRedis(redis)
    }
  }
}
