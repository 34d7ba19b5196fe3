import { hostname, type NetworkInterfaceInfo } from 'node:os'
import { isTailnetAddress } from '@sc/shared/tailscale/address.ts'

/** This machine's place in a tailnet, or null. The master knows its MagicDNS name and puts that in place of `hostname`. */
export function tailnetAddress(
  interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>
): { ip: string; hostname: string } | null {
  const all = Object.values(interfaces).flatMap(addresses => addresses ?? [])
  // 100.64.0.0/10 is also used by providers of internet access, but only a tailnet gives an interface a single address of it.
  const found = all.find(({ address, netmask }) => isTailnetAddress(address) && netmask === '255.255.255.255')
  return found ? { ip: found.address, hostname: hostname() } : null
}
