import { execFile } from 'node:child_process'
import { childEnv } from '../config.ts'
import { type Outcome, ok, warning } from './finding.ts'

/** How a machine of the tailnet is reached, by `tailscale ping`: on any machine of the cluster, without a master. */
const ANSWER_MS = 10_000

/** 100.64.0.0/10 and fd7a:115c:a1e0::/48 are Tailscale's. */
export function isTailnetAddress(address: string): boolean {
  const [, second = ''] = /^100\.(\d+)\./.exec(address) ?? []
  return (second !== '' && Number(second) >= 64 && Number(second) < 128) || /^fd7a:115c:a1e0:/i.test(address)
}

export async function tailnetPath(address: string): Promise<Outcome> {
  const args = ['ping', '-c', '3', '--until-direct=true', '--timeout', '2s', address]
  const said = await new Promise<string>(resolve => {
    execFile('tailscale', args, { timeout: ANSWER_MS, env: childEnv() }, (_error, stdout, stderr) =>
      resolve(`${stdout}${stderr}`)
    )
  })
  return readPing(said, address)
}

/** The last `pong` counts: a connection may begin relayed and become direct. */
export function readPing(said: string, address: string): Outcome {
  const [, via = '', took = ''] = [...said.matchAll(/^pong from .* via (.+) in (\S+)$/gm)].at(-1) ?? []
  const [, relay] = /^DERP\((.*)\)$/.exec(via) ?? []
  if (relay !== undefined)
    return warning(
      `relayed by ${relay}, ${took}`,
      'It works, more slowly. Let UDP out of both networks (`tailscale netcheck` says what is in the way).'
    )
  if (via) return ok(`direct over the tailnet, by ${via} in ${took}`)
  return warning(
    `${address} is of a tailnet, and how it is reached is not known: ${said.trim().split('\n').at(-1) || 'tailscale does not answer'}`,
    'Look whether the command `tailscale` works here: `tailscale status`.'
  )
}
