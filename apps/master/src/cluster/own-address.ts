import type { NetworkInterfaceInfo } from 'node:os'

/** Networks that are within this machine, or have a mode of their own. */
const NOT_OF_THE_HOUSE = /^(docker|br-|veth|virbr|vmnet|vboxnet|cni|podman|tailscale|utun|zt|wg)/

/**
 * The address by which other machines of the house would know this one: the first IPv4 one that is not loopback, of a
 * network card where there is one.
 */
export function addressOfThis(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): string {
  const names = Object.keys(interfaces)
  const inOrder = [
    ...names.filter(name => !NOT_OF_THE_HOUSE.test(name)),
    ...names.filter(name => NOT_OF_THE_HOUSE.test(name))
  ]
  const all = inOrder.flatMap(name => interfaces[name] ?? [])
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1'
}
