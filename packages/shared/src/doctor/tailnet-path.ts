import { setTimeout as sleep } from 'node:timers/promises'
import type { AskTailscale } from '../tailscale/ask.ts'
import { failedPing, type TailnetPing, toPing } from '../tailscale/ping.ts'
import { type Outcome, ok, warning } from './finding.ts'

/** A connection may begin relayed and become direct: so many pings at most. */
const PINGS = 3
const BETWEEN_MS = 1_000

/** How a machine of the tailnet is reached, as tailscaled of this machine says: without a master. */
export async function tailnetPath(address: string, ask: AskTailscale, betweenMs = BETWEEN_MS): Promise<Outcome> {
  try {
    let last = await pingOnce(address, ask)
    for (let sent = 1; sent < PINGS && last.direct !== true; sent++) {
      await sleep(betweenMs)
      last = await pingOnce(address, ask)
    }
    return pathOutcome(last, address)
  } catch (error) {
    return pathOutcome(failedPing((error as Error).message), address)
  }
}

async function pingOnce(address: string, ask: AskTailscale): Promise<TailnetPing> {
  const answer = await ask(daemon => daemon.ping(address))
  return answer === undefined ? failedPing('there is no Tailscale here') : toPing(answer)
}

function pathOutcome({ direct, relay, endpoint, rttMs, error }: TailnetPing, address: string): Outcome {
  if (direct === true) return ok(`direct over the tailnet, by ${endpoint} in ${rttMs} ms`)
  if (direct === false)
    return warning(
      `relayed by ${relay}, ${rttMs} ms`,
      'It works, more slowly. Let UDP out of both networks (`tailscale netcheck` says what is in the way).'
    )
  return warning(
    `${address} is of a tailnet, and how it is reached is not known: ${error}`,
    'Look whether Tailscale runs here (`tailscale status`). Where its socket is not in the usual place, set TS_SOCKET.'
  )
}
