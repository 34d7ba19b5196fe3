import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * The network under a tailnet: `ctl`, a router, and one machine for each name, each a network namespace of its own with
 * one cable to `ctl`. There is no default route anywhere: nothing can leave.
 */
const NETWORK = '10.213.77'
export const CONTROL_IP = `${NETWORK}.1`
export const DOMAIN = 'tailnet.example'
/** Of the first machine; the others follow. */
const FIRST = 10

/** Order of the rules in `ctl`: cut, `ctl`'s own addresses, what `ctl` sends, relay only, all else. */
const PREFERENCE = { cut: 10, local: 100, sent: 150, relay: 200 }
export type Hindrance = 'cut' | 'relay'

export const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' })
/** Names carry the number of the process that made them, so that a later run can tell what a killed one left. */
export const netnsOf = (name: string): string => `sct-${process.pid}-${name}`
export const underlayIp = (at: number): string => `${NETWORK}.${FIRST + at}`

export function makeNamespaces(names: string[]): void {
  const ctl = netnsOf('ctl')
  ip('netns', 'add', ctl)
  const inCtl = (...args: string[]) => ip('-n', ctl, ...args)
  inCtl('link', 'set', 'lo', 'up')
  inCtl('addr', 'add', `${CONTROL_IP}/32`, 'dev', 'lo')
  inCtl('rule', 'add', 'pref', `${PREFERENCE.local}`, 'lookup', 'local')
  inCtl('rule', 'del', 'pref', '0')
  inCtl('rule', 'add', 'pref', `${PREFERENCE.sent}`, 'iif', 'lo', 'lookup', 'main')
  ip('netns', 'exec', ctl, 'sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward')
  for (const [at, name] of names.entries()) addMachine(name, at)
}

function addMachine(name: string, at: number): void {
  const [ctl, netns, address, cable] = [netnsOf('ctl'), netnsOf(name), underlayIp(at), `p${at}`]
  ip('netns', 'add', netns)
  ip('-n', netns, 'link', 'set', 'lo', 'up')
  ip('-n', ctl, 'link', 'add', cable, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns)
  for (const [side, device] of [
    [ctl, cable],
    [netns, 'eth0']
  ] as const)
    ip('-n', side, 'link', 'set', device, 'addrgenmode', 'none', 'up')
  ip('-n', ctl, 'route', 'add', `${address}/32`, 'dev', cable, 'src', CONTROL_IP)
  ip('-n', netns, 'addr', 'add', `${address}/32`, 'dev', 'eth0')
  ip('-n', netns, 'route', 'add', `${CONTROL_IP}/32`, 'dev', 'eth0', 'src', address)
  ip('-n', netns, 'route', 'add', `${NETWORK}.0/24`, 'via', CONTROL_IP, 'src', address)
  // `ip netns exec` mounts this over /etc/resolv.conf: programs in there ask MagicDNS.
  const folder = join('/etc/netns', netns)
  mkdirSync(folder, { recursive: true })
  writeFileSync(
    join(folder, 'resolv.conf'),
    `nameserver 100.100.100.100\nsearch ${DOMAIN}\noptions timeout:1 attempts:3\n`
  )
}

/** `cut`: nothing passes, silently. `relay`: nothing but what goes through the relay. The interface stays up. */
export function hinder(at: number, how: Hindrance, yes: boolean): void {
  const preference = `${PREFERENCE[how]}`
  for (const selector of [
    ['iif', `p${at}`],
    ['to', underlayIp(at)]
  ])
    ip('-n', netnsOf('ctl'), 'rule', yes ? 'add' : 'del', 'pref', preference, ...selector, 'type', 'blackhole')
}

/** Removes this run's namespaces, and those that killed runs left, with every process in them. */
export function removeNamespaces(): void {
  const all = listFolder('/run/netns').filter(name => /^sct-\d+-/.test(name))
  for (const netns of all) {
    const owner = Number(netns.split('-')[1])
    if (owner !== process.pid && isAlive(owner)) continue
    for (const pid of ip('netns', 'pids', netns).split('\n').filter(Boolean)) kill(Number(pid))
    ip('netns', 'del', netns)
    rmSync(join('/etc/netns', netns), { recursive: true, force: true })
  }
  if (listFolder('/etc/netns').length === 0) tryTo(() => rmdirSync('/etc/netns'))
}

const listFolder = (path: string): string[] => tryTo(() => readdirSync(path)) ?? []
const isAlive = (pid: number): boolean => tryTo(() => process.kill(pid, 0)) ?? false
const kill = (pid: number): void => void tryTo(() => process.kill(pid, 'SIGKILL'))

function tryTo<T>(act: () => T): T | undefined {
  try {
    return act()
  } catch {
    return undefined
  }
}
