/**
 * One webhook of a key, and of a host, is under way at a time: whoever's address takes connections and never answers holds up
 * only its own. The others come back later, as late as those before them of their key are likely to take.
 */
export interface WebhookTurns {
  /** In how many ms to come back, or null: it is its turn, until `leave`. */
  enter(keyId: string, host: string): number | null
  leave(keyId: string, host: string): void
}

interface Line {
  beganMs: number
  /** The last one. */
  tookMs: number
  /** When the last that was sent away comes back. */
  lastMs: number
}

const LEAST_MS = 50
/** By then an address may answer again. */
const MOST_MS = 60_000
const MOST_LINES = 1_000

export function createWebhookTurns(nowMs = () => performance.now()): WebhookTurns {
  const keys = new Set<string>()
  const hosts = new Set<string>()
  const lines = new Map<string, Line>()

  function lineOf(keyId: string): Line {
    const line = lines.get(keyId) ?? { beganMs: nowMs(), tookMs: LEAST_MS, lastMs: 0 }
    lines.delete(keyId)
    lines.set(keyId, line)
    const [oldest] = lines.keys()
    if (oldest !== undefined && lines.size > MOST_LINES) lines.delete(oldest)
    return line
  }

  return {
    enter: (keyId, host) => {
      const line = lineOf(keyId)
      const now = nowMs()
      if (keys.has(keyId) || hosts.has(host)) {
        const each = keys.has(keyId) ? Math.max(line.tookMs, now - line.beganMs) : line.tookMs
        line.lastMs = Math.min(Math.max(line.lastMs, now) + each, now + MOST_MS)
        return line.lastMs - now
      }
      keys.add(keyId)
      hosts.add(host)
      line.beganMs = now
      return null
    },
    leave: (keyId, host) => {
      keys.delete(keyId)
      hosts.delete(host)
      const line = lineOf(keyId)
      line.tookMs = Math.max(LEAST_MS, nowMs() - line.beganMs)
    }
  }
}
