import { hash } from 'node:crypto'
import { ScError } from '@sc/shared/errors.ts'
import { withoutSecrets } from '@sc/shared/log.ts'
import { Kysely, PostgresDialect } from 'kysely'
import pg from 'pg'
import type { Database, Tables } from './schema.ts'

/**
 * What is off where every read is to go in the order of an index, whatever PostgreSQL's statistics are. `jit`: before
 * version 18 what is off counts as very expensive, for which PostgreSQL would compile the query.
 */
export const BY_INDEXES = ['enable_sort', 'enable_incremental_sort', 'enable_seqscan', 'enable_bitmapscan', 'jit']

/**
 * The one file that knows `pg`. A pool of `most` connections; a statement may take 30 s. `byIndexes`: for all that is read
 * over them BY_INDEXES is off, and each connection keeps the plans of its statements, which then do not depend on how many
 * rows there were when they were made. It is for few statements that are run often, each always with the same text.
 */
export function connectDatabase(
  databaseUrl: string,
  onError: (error: Error) => void,
  most = 10,
  byIndexes = false
): Database {
  const pool = new pg.Pool({
    connectionString: databaseUrl,
    max: most,
    connectionTimeoutMillis: 5_000,
    statement_timeout: 30_000,
    // When not even the refusal comes back: the host is gone.
    query_timeout: 35_000,
    keepAlive: true,
    application_name: 'semantics-cluster'
  })
  // Without a listener an idle connection that breaks would end the process.
  pool.on('error', error => {
    // The whole connection hangs on it, which nobody wants to read in a log.
    delete (error as { client?: unknown }).client
    onError(error)
  })
  // The same for one that is in use and between two queries; the next query says what happened.
  pool.on('connect', client => {
    client.on('error', () => {})
    // Before the first query, which is sent after it; one that fails with its connection fails the query, too.
    if (!byIndexes) return
    client.query(BY_INDEXES.map(name => `set ${name} = off`).join(';')).catch(() => {})
    keepPlans(client)
  })
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) })
}

/** One connection by itself. Without a listener, one that breaks between two queries, or while it ends, would end the process. */
export async function connectClient(databaseUrl: string, options: pg.ClientConfig = {}): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'semantics-cluster', ...options })
  client.on('error', () => {})
  await client.connect()
  return client
}

/** Parsing and planning take longer than most statements themselves. */
function keepPlans(client: pg.ClientBase): void {
  const query = client.query.bind(client)
  const names = new Map<string, string>()
  const prepared = (text: string, values: unknown[]) => {
    const name = names.get(text) ?? hash('sha1', text)
    names.set(text, name)
    return query({ name, text, values })
  }
  Object.assign(client, {
    query: (...args: Parameters<typeof query>) => {
      const [text, values] = args as unknown[]
      return typeof text === 'string' && Array.isArray(values) ? prepared(text, values) : query(...args)
    }
  })
}

const PING_EVERY_MS = 5_000

/** A connection of its own that hears NOTIFY; the caller opens a new one after `onEnd`. */
export async function listen(
  databaseUrl: string,
  channel: string,
  onMessage: (payload: string) => void,
  onEnd: () => void
): Promise<{ close(): Promise<void> }> {
  const limits = { connectionTimeoutMillis: 5_000, query_timeout: PING_EVERY_MS }
  const client = await connectClient(databaseUrl, { keepAlive: true, ...limits })
  let closing = false
  client.on('notification', message => onMessage(message.payload ?? ''))
  try {
    await client.query(`listen ${pg.escapeIdentifier(channel)}`)
  } catch (error) {
    await client.end()
    throw error
  }
  // A socket that only receives would not notice that the other side is gone; ended, it is opened anew.
  const pinging = setInterval(
    () => client.query('select 1').catch(() => client.connection.stream.destroy()),
    PING_EVERY_MS
  )
  client.once('end', () => {
    clearInterval(pinging)
    if (!closing) onEnd()
  })
  return {
    close: async () => {
      closing = true
      await client.end()
    }
  }
}

/** SQLSTATE classes that mean "away for now", not "wrong": connection, shutdown, start-up. */
const AWAY = /^(08|57P0|53300)/
const AWAY_SOCKET = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EAGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
  'ENOENT'
])

export function isDatabaseAway(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return (
    AWAY.test(code) ||
    AWAY_SOCKET.has(code) ||
    /Connection terminated|timeout exceeded when trying to connect|Query read timeout/.test(error.message)
  )
}

export function isUniqueViolation(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '23505'
}

/** Why the first connection to a PostgreSQL failed, for who set DATABASE_URL: SC_CONFIG, or SC_UNAVAILABLE where it may come. */
export function firstConnectionError(databaseUrl: string, error: unknown): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error
  const { username, host, pathname } = new URL(databaseUrl)
  const reason = withoutSecrets(error.message || String(error.code))
  switch (error.code) {
    case '28P01':
    case '28000':
      return new ScError('SC_CONFIG', `DATABASE_URL: PostgreSQL at ${host} refuses the login of ${username}: ${reason}`)
    case '3D000':
      return new ScError(
        'SC_CONFIG',
        `DATABASE_URL: PostgreSQL at ${host} has no database ${pathname.slice(1)}: make it first (createdb ${pathname.slice(1)}).`
      )
    default:
      if (!isDatabaseAway(error)) return error
      return new ScError('SC_UNAVAILABLE', `DATABASE_URL: PostgreSQL at ${host} cannot be reached: ${reason}`)
  }
}

/** Database errors on their way to a user. */
export function translateDatabaseError(error: unknown): unknown {
  // PostgreSQL keeps no NUL byte in any text; nothing but a client's text could have one.
  if (error instanceof Error && 'code' in error && (error.code === '22021' || error.code === '22P05'))
    return new ScError('SC_BAD_REQUEST', 'A text in the request has a NUL byte in it.', { cause: error })
  if (!isDatabaseAway(error)) return error
  return new ScError('SC_UNAVAILABLE', 'PostgreSQL does not answer. Nothing was changed; try again in some seconds.', {
    cause: error
  })
}
