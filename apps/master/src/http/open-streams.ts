import type { FastifyReply, FastifyRequest } from 'fastify'
import { sql } from 'kysely'
import type { Database } from '../database/schema.ts'
import type { App } from './app-deps.ts'
import { callerOf } from './auth.ts'
import { untilDisconnect } from './disconnect.ts'

declare module 'fastify' {
  interface FastifyInstance {
    /** As `untilDisconnect`; fires also when the key or the session ends by which it was opened, or its worker is quarantined. */
    whileAllowed(request: FastifyRequest, reply: FastifyReply): AbortSignal
  }
}

/** One query for all streams of this master. */
const LOOK_EVERY_MS = 2_000

interface Stream {
  keyId: string
  sessionId: string | null
  end(): void
}

/** A key is looked up when a request begins, and a stream of events may last for days, a model for an hour. */
export function addOpenStreams(app: App, { db }: { db: Database }): void {
  const streams = new Set<Stream>()
  let looking = false

  app.decorate('whileAllowed', (request, reply) => {
    const { keyId, sessionId } = callerOf(request)
    const ended = new AbortController()
    const stream: Stream = { keyId, sessionId, end: () => ended.abort() }
    // Where its client hung up before, `close` came already.
    if (!reply.raw.closed) streams.add(stream)
    reply.raw.once('close', () => streams.delete(stream))
    return AbortSignal.any([untilDisconnect(reply), ended.signal])
  })

  const timer = setInterval(() => {
    if (streams.size === 0 || looking) return
    looking = true
    look()
      // PostgreSQL away: the next look does it.
      .catch(() => {})
      .finally(() => {
        looking = false
      })
  }, LOOK_EVERY_MS)
  app.addHook('onClose', async () => clearInterval(timer))

  async function look(): Promise<void> {
    const open = [...streams]
    const keyIds = [...new Set(open.map(({ keyId }) => keyId))]
    const sessionIds = [...new Set(open.flatMap(({ sessionId }) => sessionId ?? []))]
    const [keys, sessions] = await Promise.all([
      db
        .selectFrom('api_keys')
        .leftJoin('workers', 'workers.id', 'api_keys.worker_id')
        .select('api_keys.id')
        .where('api_keys.id', 'in', keyIds)
        .where('api_keys.revoked_at', 'is', null)
        .where('workers.quarantined_at', 'is', null)
        .execute(),
      sessionIds.length === 0
        ? []
        : db
            .selectFrom('sessions')
            .select('id')
            .where('id', 'in', sessionIds)
            .where('expires_at', '>', sql<Date>`now()`)
            .execute()
    ])
    const good = new Set([...keys, ...sessions].map(({ id }) => id))
    for (const { keyId, sessionId, end } of open)
      if (!good.has(keyId) || (sessionId !== null && !good.has(sessionId))) end()
  }
}
