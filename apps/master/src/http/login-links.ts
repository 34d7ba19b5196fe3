import { randomBytes } from 'node:crypto'

/**
 * A browser cannot send a key with a link, and a key in an address would be kept in histories and logs. So, as Jupyter
 * does, the master prints a link that logs in once.
 */
export interface LoginLinks {
  /** `httpUrl` with a code that can be redeemed once, within a day, at this process. */
  create(httpUrl: string): string
  /** False: the code is not one, or was used, or is too old. */
  redeem(code: string): boolean
}

const CODE_LIFE_MS = 24 * 3600_000

export function createLoginLinks(): LoginLinks {
  const codes = new Map<string, number>()
  return {
    create: httpUrl => {
      const code = randomBytes(24).toString('base64url')
      codes.set(code, performance.now() + CODE_LIFE_MS)
      return `${httpUrl}/login?code=${code}`
    },
    redeem: code => {
      const endsAtMs = codes.get(code)
      codes.delete(code)
      return endsAtMs !== undefined && endsAtMs > performance.now()
    }
  }
}
