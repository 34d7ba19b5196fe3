import { isIPv6 } from 'node:net'
import { childEnv } from '@sc/shared/config.ts'

/** The one file that knows Ollama: whether a local LLM server answers. */
const DEFAULT_PORT = 11_434
const ANSWER_MS = 1_000
/** A server that is updated is away for a moment: only so many looks in a row without an answer mean that it is gone. */
const MISSES_TO_BELIEVE = 3

/** Whether the server answers that `OLLAMA_HOST` names, or Ollama's default address. */
export async function llmServerAnswers(host = childEnv().OLLAMA_HOST ?? ''): Promise<boolean> {
  const url = versionUrl(host)
  if (!url) return false
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(ANSWER_MS), redirect: 'error' })
    if (!answer.ok) {
      // Until its body is read or given up, the connection is kept for it.
      await answer.body?.cancel()
      return false
    }
    return typeof ((await answer.json()) as { version?: unknown } | null)?.version === 'string'
  } catch {
    return false
  }
}

/** As Ollama's own client reads it: `host`, `:port`, `host:port` or an address; what listens everywhere is here. */
export function versionUrl(host: string): URL | null {
  const text = isIPv6(host.trim()) ? `[${host.trim()}]` : host.trim()
  const address = text.includes('://') ? text : `http://${text.startsWith(':') || !text ? `127.0.0.1${text}` : text}`
  if (!URL.canParse(address)) return null
  const url = new URL(address)
  if (!/^https?:$/.test(url.protocol)) return null
  if (!url.port && !text.includes('://')) url.port = String(DEFAULT_PORT)
  if (url.hostname === '0.0.0.0' || url.hostname === '[::]') url.hostname = '127.0.0.1'
  return new URL('/api/version', url)
}

export interface LlmWatch {
  /** At the last look. */
  isThere(): boolean
  /** Looks again. Resolves to whether that has changed. */
  look(): Promise<boolean>
}

export function watchLlmServer(answers: () => Promise<boolean> = llmServerAnswers): LlmWatch {
  let isThere = false
  let misses = 0
  return {
    isThere: () => isThere,
    look: async () => {
      const before = isThere
      misses = (await answers()) ? 0 : misses + 1
      isThere = misses === 0 || (isThere && misses < MISSES_TO_BELIEVE)
      return isThere !== before
    }
  }
}
