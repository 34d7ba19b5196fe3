import { networkInterfaces } from 'node:os'
import type { Config } from '@sc/shared/config.ts'
import type { Logger } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import { type Reach, resolveMode, whyNoTailnet } from './modes.ts'
import type { Tailnet } from './tailnet.ts'

const LOOK_EVERY_MS = 5_000

/**
 * Where this master is to be reached just now; nobody else keeps it. In `local` and `lan` that never changes. In `auto`
 * and `tailscale` it follows the tailnet: over to it when it comes up, along with another address or name. It never goes
 * back: when Tailscale is down, what listens there stays, and is reached again when Tailscale is back.
 */
export interface ReachNow {
  now(): Reach
  /** Looks from now on. */
  follow(steps: Steps): { stop(): Promise<void> }
}

interface Steps {
  /** Makes the servers listen there; when it throws, others are told what they were, and it is tried again. */
  move(next: Reach): Promise<void>
  /** When that is how this master is reached. */
  moved(): Promise<void>
}

/** SC_CONFIG when this machine is not on the network that the mode asks for. */
export async function openReach(deps: {
  config: Pick<Config, 'mode' | 'host'>
  tailnet: Pick<Tailnet, 'status'>
  interfaces?: typeof networkInterfaces
  lookEveryMs?: number
  log: Logger
}): Promise<ReachNow> {
  const { config, tailnet, interfaces = networkInterfaces, lookEveryMs = LOOK_EVERY_MS, log } = deps
  const follows = config.mode === 'auto' || config.mode === 'tailscale'
  let current = resolveMode(config, await tailnet.status(), interfaces())
  let isUp = current.mode === 'tailscale'
  let said = ''

  /** Once, not at each look. */
  function say(level: 'info' | 'warn', text: string, error?: unknown): void {
    if (text !== said) log[level]({ err: error }, text)
    said = text
  }

  async function lookOnce(steps: Steps): Promise<void> {
    try {
      await look(steps)
    } catch (error) {
      say('warn', `Cannot look at the networks of this machine (trying again): ${(error as Error).message}`, error)
    }
  }

  async function look({ move, moved }: Steps): Promise<void> {
    const [status, own] = [await tailnet.status(), interfaces()]
    const problem = whyNoTailnet(status, own)
    if (problem !== null) {
      isUp = false
      if (current.mode === 'tailscale') return say('warn', `Other machines cannot reach this master: ${problem}`)
      return say('info', `Only this machine reaches this master until Tailscale is up: ${problem}`)
    }
    const next = resolveMode(config, status, own)
    // Also when it is back as it was: a Redis that was started meanwhile does not listen there.
    if (isUp && isSame(next, current)) return
    try {
      await move(next)
    } catch (error) {
      return say(
        'warn',
        `Cannot listen on ${next.bind.join(' and ')} (trying again): ${(error as Error).message}`,
        error
      )
    }
    log.info({ mode: next.mode, bind: next.bind }, `Others reach this master at ${next.told}`)
    current = next
    isUp = true
    said = ''
    await moved()
  }

  return {
    now: () => current,
    follow: steps => {
      const stopping = new AbortController()
      const running = (async () => {
        while (follows && !stopping.signal.aborted) {
          await pause(lookEveryMs, stopping.signal)
          if (!stopping.signal.aborted) await lookOnce(steps)
        }
      })()
      return {
        stop: async () => {
          stopping.abort()
          await running
        }
      }
    }
  }
}

function isSame(one: Reach, other: Reach): boolean {
  return one.told === other.told && one.bind.join() === other.bind.join()
}
