import { hostname, type NetworkInterfaceInfo } from 'node:os'
import { expect, test } from 'vitest'
import { tailnetAddress } from '../../src/probe/tailnet-address.ts'

const of = (address: string, netmask: string): NetworkInterfaceInfo[] => [
  { address, netmask, family: 'IPv4', mac: '00:00:00:00:00:00', internal: false, cidr: null }
]

test('an address of a tailnet is told from those of a house and of a provider', () => {
  const house = { eth0: of('192.168.1.7', '255.255.255.0') }
  expect(tailnetAddress({ ...house, tailscale0: of('100.101.102.103', '255.255.255.255') })).toEqual({
    ip: '100.101.102.103',
    hostname: hostname()
  })
  expect(tailnetAddress(house)).toBeNull()
  expect(tailnetAddress({ wwan0: of('100.101.102.103', '255.192.0.0') })).toBeNull()
  expect(tailnetAddress({ ppp0: of('100.128.0.1', '255.255.255.255') })).toBeNull()
})
