import { isIP } from 'node:net'
import { hostname as hostnameOfThis } from 'node:os'
import type { AppDeps } from './app-deps.ts'

/**
 * By which names browsers reach this master with a session. An address is always one of them: nobody else's page can
 * have it, since a browser that opens it connects to it. A name is what its owner makes it lead to.
 */
export function createOwnNames(deps: Pick<AppDeps, 'config' | 'place' | 'tailnet'>) {
  const { config, place, tailnet } = deps
  const machine = hostnameOfThis().toLowerCase()
  const [label = machine] = machine.split('.')
  const fixed = new Set(['localhost', machine, label, `${label}.local`])
  if (config.host) fixed.add(config.host.toLowerCase())
  if (config.masterUrl) fixed.add(nameOf(config.masterUrl))

  return async (hostname: string): Promise<boolean> => {
    const name = hostname
      .replace(/^\[|\]$/g, '')
      .replace(/\.$/, '')
      .toLowerCase()
    if (isIP(name) !== 0 || name.endsWith('.localhost') || fixed.has(name)) return true
    if (name === nameOf(place().masterUrl)) return true
    const { selfHostname } = await tailnet.status()
    return (
      selfHostname !== null && [selfHostname.toLowerCase(), selfHostname.toLowerCase().split('.')[0]].includes(name)
    )
  }
}

function nameOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$/g, '').toLowerCase()
}
