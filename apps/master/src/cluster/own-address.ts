import type { NetworkInterfaceInfo } from 'node:os'

/** The address by which other machines of the house would know this one: the first IPv4 one that is not loopback. */
export function addressOfThis(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string {
  const all = Object.values(interfaces).flatMap(addresses => addresses ?? [])
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1'
}
