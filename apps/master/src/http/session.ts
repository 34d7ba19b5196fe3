import { hkdfSync, randomBytes, randomUUID } from 'node:crypto'
import { sql } from 'kysely'
import type { TailnetIdentity } from '../cluster/tailscale/whois.ts'
import type { Database } from '../database/schema.ts'
import { hashOf } from './key-rows.ts'

/**
 * DESIGN: sessions of browsers, in PostgreSQL, so that they hold over a restart and at every master that shares it. Each
 * has two secrets of which only hashes are kept:
 *
 *   cookie      HttpOnly: no script reads it. But cookies know no ports: every server on this host gets it.
 *   page token  in the storage of the page, which belongs to host and port; the page's scripts send it in PAGE_HEADER.
 *
 * Only both together are a session. Who catches the cookie at another port lacks the page token, which nothing on the
 * network but the login's answer and the page's own requests has.
 *
 *   login --open--> good for a day --find--> a day from then on (by the link) --end, a day unused, its admin key revoked--> gone
 *
 * A login from the tailnet is not renewed: after a day it is asked again whether that user may log in.
 */
export interface Sessions {
  /** `who` null: by the login link. */
  open(browser: Browser, who: Pick<TailnetIdentity, 'loginName' | 'hostname'> | null): Promise<Login>
  /** Null: the cookie is none, is too old or ended, or `pageToken` is not that of its page. */
  find(sent: Sent): Promise<FoundSession | null>
  /** The newest first. */
  list(): Promise<SessionDescription[]>
  /** False: there is no such session. */
  end(id: string): Promise<boolean>
  /** `Set-Cookie` that makes a browser forget its cookie. */
  readonly forget: string
}

export const PAGE_HEADER = 'x-sc-page'
/** In the fragment of the address that a login leads to. */
export const PAGE_TOKEN_IN_ADDRESS = 'page'
/** For what is the same for everybody who is logged in, and opened by its address: no script sends a header then. */
export const COOKIE_ALONE = Symbol('cookie alone')
type PageToken = string | typeof COOKIE_ALONE

interface Browser {
  agent: string | undefined
  /** It came by TLS. */
  isSecure: boolean
}

export interface Login {
  setCookie: string
  pageToken: string
}

interface Sent {
  cookieHeader: string | undefined
  pageToken: PageToken
  isSecure: boolean
}

interface FoundSession {
  id: string
  keyId: string
  /** Null: the cookie is young enough. */
  setCookie: string | null
}

export interface SessionDescription {
  id: string
  loginName: string | null
  machine: string | null
  agent: string | null
  createdAt: string
  lastUsedAt: string
  expiresAt: string
}

const DAY_SECONDS = 24 * 3600
/** Not with every request of a page that asks each second. */
const RENEWED_EVERY_SECONDS = 60
/** Who logs in again and again is not to fill the table: of its sessions, those end that were not used the longest. */
const MOST_EACH = 50
const LONGEST_AGENT = 200
/** Of our name in one request. */
const MOST_COOKIES = 8

/** `keyId`: the admin key that what logs in here may do the work of. */
export function createSessions({ db, adminKey, keyId }: { db: Database; adminKey: string; keyId: string }): Sessions {
  // Two masters of one machine would take each other's cookies; those that share a database share the key, too.
  const suffix = Buffer.from(hkdfSync('sha256', adminKey, '', 'semantics-cluster session cookie', 6))
  const cookieName = `sc_session_${suffix.toString('base64url')}`

  function cookieFor(secret: string, seconds: number, isSecure: boolean): string {
    return `${cookieName}=${secret}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${isSecure ? '; Secure' : ''}`
  }

  return {
    open: async ({ agent, isSecure }, who) => {
      const [secret, pageToken] = [randomSecret(), randomSecret()]
      await db
        .insertInto('sessions')
        .values({
          id: randomUUID(),
          cookie_hash: hashOf(secret),
          page_hash: hashOf(pageToken),
          key_id: keyId,
          login_name: who?.loginName ?? null,
          machine: who?.hostname ?? null,
          agent: agent?.slice(0, LONGEST_AGENT) ?? null,
          expires_at: inADay
        })
        .execute()
      await removeOld(db)
      return { setCookie: cookieFor(secret, DAY_SECONDS, isSecure), pageToken }
    },
    find: async ({ cookieHeader, pageToken, isSecure }) => {
      const secrets = readCookies(cookieHeader, cookieName)
      if (secrets.length === 0) return null
      let query = db
        .selectFrom('sessions')
        .innerJoin('api_keys', 'api_keys.id', 'sessions.key_id')
        .select(['sessions.id', 'sessions.key_id', 'login_name', 'cookie_hash'])
        .select(
          sql<boolean>`sessions.last_used_at < now() - make_interval(secs => ${RENEWED_EVERY_SECONDS})`.as('is_old')
        )
        .where('cookie_hash', 'in', secrets.map(hashOf))
        .where('expires_at', '>', sql<Date>`now()`)
        .where('api_keys.revoked_at', 'is', null)
      if (pageToken !== COOKIE_ALONE) query = query.where('page_hash', '=', hashOf(pageToken))
      const row = await query.executeTakeFirst()
      if (!row) return null
      const { id, key_id, login_name, cookie_hash, is_old } = row
      const secret = secrets.find(one => hashOf(one).equals(cookie_hash)) as string
      if (is_old) await noteUse(db, id)
      const isRenewed = is_old && login_name === null
      return { id, keyId: key_id, setCookie: isRenewed ? cookieFor(secret, DAY_SECONDS, isSecure) : null }
    },
    list: async () => {
      const rows = await db
        .selectFrom('sessions')
        .innerJoin('api_keys', 'api_keys.id', 'sessions.key_id')
        .select(['sessions.id', 'login_name', 'machine', 'agent'])
        .select(['sessions.created_at', 'sessions.last_used_at', 'expires_at'])
        .where('expires_at', '>', sql<Date>`now()`)
        .where('api_keys.revoked_at', 'is', null)
        .orderBy('sessions.created_at', 'desc')
        .orderBy('sessions.id')
        .execute()
      return rows.map(({ id, login_name, machine, agent, created_at, last_used_at, expires_at }) => ({
        id,
        loginName: login_name,
        machine,
        agent,
        createdAt: created_at.toISOString(),
        lastUsedAt: last_used_at.toISOString(),
        expiresAt: expires_at.toISOString()
      }))
    },
    end: async id => {
      const ended = await db.deleteFrom('sessions').where('id', '=', id).returning('id').executeTakeFirst()
      return ended !== undefined
    },
    forget: cookieFor('', 0, false)
  }
}

const inADay = sql<Date>`now() + make_interval(secs => ${DAY_SECONDS})`

async function noteUse(db: Database, id: string): Promise<void> {
  const expires_at = sql<Date>`case when login_name is null then ${inADay} else expires_at end`
  await db.updateTable('sessions').set({ last_used_at: sql<Date>`now()`, expires_at }).where('id', '=', id).execute()
}

async function removeOld(db: Database): Promise<void> {
  await sql`
    delete from sessions where expires_at <= now() or id in (
      select id from (
        select id, row_number() over (partition by login_name order by last_used_at desc, created_at desc) as nth
        from sessions
      ) as each_login where nth > ${MOST_EACH}
    )`.execute(db)
}

function randomSecret(): string {
  return randomBytes(32).toString('base64url')
}

/** Another port of the host may set one of the same name, which the browser then sends too. */
function readCookies(header: string | undefined, name: string): string[] {
  const pairs = header?.split(';').map(pair => pair.trim()) ?? []
  const ours = pairs.filter(pair => pair.startsWith(`${name}=`)).map(pair => pair.slice(name.length + 1))
  return ours.slice(0, MOST_COOKIES)
}
