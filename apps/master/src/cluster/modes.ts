import type { NetworkInterfaceInfo } from 'node:os'
import type { Config } from '@sc/shared/config.ts'
import { ScError } from '@sc/shared/errors.ts'
import type { Place } from './join-command.ts'
import { addressOfThis } from './own-address.ts'

/**
 * Where a master is to be reached. Redis and HTTP listen on loopback and, by mode, on one address more; on others never,
 * unless the configuration names one for HTTP.
 *
 * | mode        | listens beside loopback       | others are told              |
 * |-------------|-------------------------------|------------------------------|
 * | `local`     | nowhere                       | `127.0.0.1`                  |
 * | `lan`       | the address in the house      | the same                     |
 * | `tailscale` | the address in the tailnet    | the name there (MagicDNS)    |
 * | `auto`      | `tailscale` when it is up and has an interface, till then `local` |             |
 */
export interface Reach {
  mode: 'local' | 'lan' | 'tailscale'
  /** Addresses on which Redis listens, and HTTP unless `httpBind` says other ones. */
  bind: string[]
  httpBind: string[]
  /** Name or address that others are told. */
  told: string
  /** The same for HTTP. */
  httpTold: string
}

export interface TailnetPlace {
  installed: boolean
  running: boolean
  selfIp: string | null
  selfHostname: string | null
}

type Interfaces = NodeJS.Dict<NetworkInterfaceInfo[]>

const LOOPBACK = '127.0.0.1'

/** SC_CONFIG with one sentence when this machine is not on the network that the mode asks for. */
export function resolveMode(
  { mode, host }: Pick<Config, 'mode' | 'host'>,
  tailnet: TailnetPlace,
  interfaces: Interfaces
): Reach {
  const place = networkOf(mode, tailnet, interfaces)
  if (host === undefined) return { ...place, httpBind: place.bind, httpTold: place.told }
  return { ...place, httpBind: [host], httpTold: isEverywhere(host) ? place.told : host }
}

function networkOf(
  mode: Config['mode'],
  tailnet: TailnetPlace,
  interfaces: Interfaces
): Omit<Reach, 'httpBind' | 'httpTold'> {
  if (mode === 'lan') {
    const address = addressOfThis(interfaces)
    if (address === LOOPBACK)
      throw new ScError('SC_CONFIG', 'Mode lan: this machine has no network address; connect it, or use --mode local.')
    return { mode, bind: [LOOPBACK, address], told: address }
  }
  const problem = mode === 'local' ? 'not asked for' : whyNoTailnet(tailnet, interfaces)
  if (problem === null) {
    const address = tailnet.selfIp as string
    return { mode: 'tailscale', bind: [LOOPBACK, address], told: tailnet.selfHostname ?? address }
  }
  if (mode === 'tailscale') throw new ScError('SC_CONFIG', `Mode tailscale: ${problem}`)
  return { mode: 'local', bind: [LOOPBACK], told: LOOPBACK }
}

/** What is missing for listening in the tailnet; null: nothing. */
export function whyNoTailnet({ installed, running, selfIp }: TailnetPlace, interfaces: Interfaces): string | null {
  if (!installed) return 'Tailscale is not installed on this machine; get it from https://tailscale.com/download.'
  if (!running || selfIp === null) return 'Tailscale is not up on this machine; run `tailscale up`.'
  const own = Object.values(interfaces).flatMap(addresses => addresses ?? [])
  if (own.some(({ address }) => address === selfIp)) return null
  return `Tailscale runs without a network interface (userspace networking), so that nothing can listen on ${selfIp}; start tailscaled without --tun=userspace-networking.`
}

export function isEverywhere(host: string): boolean {
  return host === '0.0.0.0' || host === '::'
}

export function httpUrlOf(host: string, port: number): string {
  return `http://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** What others are told, put together from its parts, so that no login can be in it. */
export function placeOf({ mode, told, httpTold }: Reach, redisUrl: string, port: number, isOurs: boolean): Place {
  const redis = new URL(redisUrl)
  const broker = `${isOurs ? told : redis.hostname}:${redis.port || 6379}`
  // The number of a database.
  const path = redis.pathname === '/' || redis.pathname === '/0' ? '' : redis.pathname
  return { mode, brokerUrl: `${redis.protocol}//${broker}${path}`, masterUrl: httpUrlOf(httpTold, port) }
}
