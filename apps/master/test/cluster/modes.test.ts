import type { NetworkInterfaceInfo } from 'node:os'
import { expect, test } from 'vitest'
import { placeOf, resolveMode } from '../../src/cluster/modes.ts'

const address = (text: string, internal = false): NetworkInterfaceInfo => ({
  address: text,
  netmask: '255.255.255.0',
  mac: '00:00:00:00:00:00',
  cidr: `${text}/24`,
  internal,
  family: 'IPv4'
})
const lo = { lo: [address('127.0.0.1', true)] }
const house = {
  ...lo,
  docker0: [address('172.17.0.1')],
  tailscale0: [address('100.64.0.7')],
  eth0: [address('192.168.1.5')]
}
const none = { installed: false, running: false, selfIp: null, selfHostname: null }
const up = { installed: true, running: true, selfIp: '100.64.0.7', selfHostname: 'desk.net.ts.net' }
const host = undefined

test('each mode listens on loopback and one address more at most', () => {
  expect(resolveMode({ mode: 'local', host }, up, house)).toMatchObject({ mode: 'local', bind: ['127.0.0.1'] })
  const lan = { mode: 'lan', bind: ['127.0.0.1', '192.168.1.5'], told: '192.168.1.5' }
  expect(resolveMode({ mode: 'lan', host }, up, house)).toMatchObject(lan)
  const tailnet = { mode: 'tailscale', bind: ['127.0.0.1', '100.64.0.7'], told: 'desk.net.ts.net' }
  for (const mode of ['tailscale', 'auto'] as const)
    expect(resolveMode({ mode, host }, up, house)).toMatchObject({ ...tailnet, httpBind: tailnet.bind })
  for (const [tail, interfaces] of [
    [none, house],
    [{ ...up, running: false }, house],
    [up, lo]
  ] as const)
    expect(resolveMode({ mode: 'auto', host }, tail, interfaces)).toMatchObject({ mode: 'local', bind: ['127.0.0.1'] })
})

test('what is missing is said in one sentence', () => {
  const refused = (mode: 'lan' | 'tailscale', tail: typeof up | typeof none, interfaces: typeof house | typeof lo) =>
    expect(() => resolveMode({ mode, host }, tail, interfaces))
  refused('lan', none, lo).toThrow('Mode lan: this machine has no network address')
  refused('tailscale', none, house).toThrow('Mode tailscale: Tailscale is not installed')
  refused('tailscale', { ...up, running: false }, house).toThrow('Mode tailscale: Tailscale is not up')
  refused('tailscale', up, lo).toThrow('Mode tailscale: Tailscale runs without a network interface')
})

test('an address that was asked for wins for HTTP alone, and others are told one that leads there', () => {
  const reach = resolveMode({ mode: 'lan', host: '192.0.2.10' }, none, house)
  expect(reach).toMatchObject({ bind: ['127.0.0.1', '192.168.1.5'], httpBind: ['192.0.2.10'] })
  const place = placeOf(reach, 'redis://master:secret@127.0.0.1:6379/0', 5080, true)
  expect(place).toEqual({ mode: 'lan', brokerUrl: 'redis://192.168.1.5:6379', masterUrl: 'http://192.0.2.10:5080' })
  const everywhere = resolveMode({ mode: 'lan', host: '0.0.0.0' }, none, house)
  expect(placeOf(everywhere, 'rediss://:x@redis.home:6380', 80, false)).toEqual({
    mode: 'lan',
    brokerUrl: 'rediss://redis.home:6380',
    masterUrl: 'http://192.168.1.5:80'
  })
})
