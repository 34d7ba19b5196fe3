import { BlockList, isIP } from 'node:net'

/**
 * Which addresses belong to the open internet. Everything else may be a machine of this house or this very machine,
 * which must not be reached on behalf of a client (IANA special-purpose registries, and 100.64.0.0/10 of tailnets).
 */
const NOT_PUBLIC = new BlockList()
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3]
] as const)
  NOT_PUBLIC.addSubnet(network, bits, 'ipv4')

/** Of IPv6 only 2000::/3 is given out; these parts of it lead back to IPv4 or nowhere. */
const GLOBAL = new BlockList()
GLOBAL.addSubnet('2000::', 3, 'ipv6')
for (const [network, bits] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20]
] as const)
  NOT_PUBLIC.addSubnet(network, bits, 'ipv6')

/** True for an IP address (not a name) of the open internet. */
export function isPublicAddress(address: string): boolean {
  const bare = address.replace(/^\[|\]$/g, '').replace(/%.*$/, '')
  const family = isIP(bare)
  if (family === 4) return !NOT_PUBLIC.check(bare, 'ipv4')
  // Mapped (::ffff:0:0/96) and translated (64:ff9b::/96) IPv4 lie outside 2000::/3.
  return family === 6 && GLOBAL.check(bare, 'ipv6') && !NOT_PUBLIC.check(bare, 'ipv6')
}

/**
 * Why a URL may not be called, as far as can be told without asking the name service; null: nothing against it.
 * `new URL` has already turned 0x7f000001, 2130706433 and 127.1 into dotted form.
 */
export function refuseUrl(url: URL): string | null {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') return 'only http and https addresses are called'
  if (url.username || url.password) return 'an address with a user name or a password in it is not called'
  const host = url.hostname.replace(/^\[|\]$/g, '').replace(/\.$/, '')
  if (isIP(host)) return isPublicAddress(host) ? null : `${host} is not an address of the open internet`
  if (host === 'localhost' || host.endsWith('.localhost')) return `${host} is this machine`
  return null
}
