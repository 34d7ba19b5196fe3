import { createHmac, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'

/**
 * A browser cannot send a key with a link, and a key in an address would be kept in histories and logs. So, as Jupyter
 * does, the master prints a link that works once; opening it gives a cookie, which is signed with a secret made of the
 * admin key: every master with that key knows it, also after a restart, and another admin key ends it.
 */
export interface Sessions {
  /** `httpUrl` with a code that can be redeemed once, within a day, at this process. */
  createLoginLink(httpUrl: string): string
  /** The cookie's `Set-Cookie` header, or null when the code is not one, or used, or too old. */
  redeem(code: string, secure: boolean): string | null
  /** The same for somebody who is known otherwise, for a day: they can come again, and may by then not be let in. */
  letIn(secure: boolean): string
  isValid(cookieHeader: string | undefined): boolean
}

const CODE_LIFE_MS = 24 * 3600_000
const DAY_SECONDS = 24 * 3600
const SESSION_SECONDS = 30 * DAY_SECONDS

export function createSessions(adminKey: string, now: () => number = Date.now): Sessions {
  const secret = Buffer.from(hkdfSync('sha256', adminKey, '', 'semantics-cluster session cookie', 32))
  // Cookies do not know ports: two masters of one machine would take each other's.
  const cookieName = `sc_session_${sign('name').slice(0, 8)}`
  const codes = new Map<string, number>()

  function sign(text: string): string {
    return createHmac('sha256', secret).update(text).digest('base64url')
  }

  function cookieFor(seconds: number, secure: boolean): string {
    const content = `${Math.floor(now() / 1000) + seconds}.${randomBytes(12).toString('base64url')}`
    const attributes = `Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`
    return `${cookieName}=${content}.${sign(content)}; ${attributes}`
  }

  return {
    createLoginLink: httpUrl => {
      const code = randomBytes(24).toString('base64url')
      codes.set(code, now() + CODE_LIFE_MS)
      return `${httpUrl}/login?code=${code}`
    },
    redeem: (code, secure) => {
      const endsAtMs = codes.get(code)
      codes.delete(code)
      if (endsAtMs === undefined || endsAtMs < now()) return null
      return cookieFor(SESSION_SECONDS, secure)
    },
    letIn: secure => cookieFor(DAY_SECONDS, secure),
    isValid: cookieHeader => {
      const cookie = readCookie(cookieHeader, cookieName)
      const [endsAt, nonce, signature] = cookie?.split('.') ?? []
      if (!endsAt || !nonce || !signature) return false
      return equal(signature, sign(`${endsAt}.${nonce}`)) && Number(endsAt) * 1000 > now()
    }
  }
}

function readCookie(header: string | undefined, name: string): string | undefined {
  const pairs = header?.split(';').map(pair => pair.trim()) ?? []
  return pairs.find(pair => pair.startsWith(`${name}=`))?.slice(name.length + 1)
}

function equal(given: string, expected: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(expected)]
  return a.length === b.length && timingSafeEqual(a, b)
}
