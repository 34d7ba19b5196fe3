import { type ChildProcess, execFile, type SpawnOptions, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { childEnv } from '@sc/shared/config.ts'
import { until } from '../cluster.ts'
import {
  CONTROL_IP,
  DOMAIN,
  type Hindrance,
  hinder,
  makeNamespaces,
  netnsOf,
  removeNamespaces,
  underlayIp
} from './namespaces.ts'
import type { Programs } from './programs.ts'

/**
 * A tailnet of its own: one real tailscaled with a real tun device for each machine, a control server with a DERP relay
 * and STUN, all in network namespaces. Machines are `NAME.tailnet.example`, with the addresses 100.64.0.1 and following.
 */
export interface TestTailnet {
  ip(name: string): string
  /** In the network under the tailnet. */
  underlayIp(name: string): string
  /** LocalAPI socket of the machine's tailscaled. */
  socket(name: string): string
  /** Any program on that machine. */
  spawn(name: string, program: string, args: string[], options: SpawnOptions): ChildProcess
  /** The tailscale command of that machine; its output. */
  tailscale(name: string, ...args: string[]): Promise<string>
  /** Whose machine it is: each is another user's. */
  loginName(name: string): Promise<string>
  startDaemon(name: string): Promise<void>
  stopDaemon(name: string, signal: NodeJS.Signals): Promise<void>
  hinder(name: string, how: Hindrance, yes: boolean): void
  /** Ends everything, also what a killed run left. */
  stop(): Promise<void>
}

const CONTROL_PORT = 8080
const START_LIMIT_MS = 30_000
const run = promisify(execFile)

export async function startTailnet(names: string[], programs: Programs, folder: string): Promise<TestTailnet> {
  removeNamespaces()
  const daemons = new Map<string, ChildProcess>()
  const keyFile = join(folder, 'authkey')
  const indexOf = (name: string): number => names.indexOf(name)

  const tailnet: TestTailnet = {
    ip: name => `100.64.0.${indexOf(name) + 1}`,
    underlayIp: name => underlayIp(indexOf(name)),
    socket: name => join(folder, `${name}.sock`),
    spawn: (name, program, args, options) => spawn('ip', ['netns', 'exec', netnsOf(name), program, ...args], options),
    tailscale: async (name, ...args) => {
      const command = [programs.tailscale, `--socket=${tailnet.socket(name)}`, ...args]
      return (await run('ip', ['netns', 'exec', netnsOf(name), ...command], { timeout: 20_000 })).stdout
    },
    loginName: async name => {
      const { Self, User } = JSON.parse(await tailnet.tailscale(name, 'status', '--json', '--peers=false'))
      return User[Self.UserID].LoginName
    },
    startDaemon: async name => {
      daemons.set(name, spawnDaemon(name))
      await until(`tailscaled of ${name} is running`, START_LIMIT_MS, async () => {
        const status = await tailnet.tailscale(name, 'status', '--json', '--peers=false').catch(() => '{}')
        return JSON.parse(status).BackendState === 'Running'
      })
    },
    stopDaemon: async (name, signal) => {
      const daemon = daemons.get(name)
      daemons.delete(name)
      if (daemon) await end(daemon, signal)
    },
    hinder: (name, how, yes) => hinder(indexOf(name), how, yes),
    stop: async () => {
      await Promise.all([...daemons.values()].map(daemon => end(daemon, 'SIGTERM')))
      removeNamespaces()
    }
  }

  function log(name: string): number {
    return openSync(join(folder, `${name}.log`), 'a')
  }

  function spawnDaemon(name: string): ChildProcess {
    const state = join(folder, name)
    mkdirSync(state, { recursive: true })
    // In a file: the control server wants the key at every registration, and a tailscaled that starts again registers
    // again. Names are answered at 100.100.100.100 without acceptDNS, which would write over /etc/resolv.conf.
    const config = join(state, 'config.json')
    writeFileSync(
      config,
      JSON.stringify({
        version: 'alpha0',
        Locked: false,
        ServerURL: `http://${CONTROL_IP}:${CONTROL_PORT}`,
        AuthKey: `file:${keyFile}`,
        Hostname: name,
        acceptDNS: false,
        acceptRoutes: false,
        NetfilterMode: 'off'
      })
    )
    const args = [
      `--config=${config}`,
      '--no-logs-no-support',
      '--tun=tailscale0',
      '--port=41641',
      `--state=${join(state, 'tailscaled.state')}`,
      `--statedir=${state}`,
      `--socket=${tailnet.socket(name)}`,
      '--encrypt-state=false',
      '--hardware-attestation=false'
    ]
    const output = log(name)
    return tailnet.spawn(name, programs.tailscaled, args, {
      stdio: ['ignore', output, output],
      env: childEnv({
        TS_NO_LOGS_NO_SUPPORT: 'true',
        TS_DISABLE_PORTMAPPER: 'true',
        // The relay of the test has no TLS.
        TS_DEBUG_USE_DERP_HTTP: 'true',
        TS_LOGS_DIR: state,
        // Unix sockets are not confined by a network namespace: away from the machine's own resolver.
        DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/nonexistent'
      })
    })
  }

  try {
    makeNamespaces(names)
    writeFileSync(keyFile, randomBytes(16).toString('hex'), { mode: 0o600 })
    const output = log('control')
    const args = [`--listen=${CONTROL_IP}:${CONTROL_PORT}`, `--domain=${DOMAIN}`, `--auth-key-file=${keyFile}`]
    daemons.set('ctl', tailnet.spawn('ctl', programs.control, args, { stdio: ['ignore', output, output] }))
    await until('the control server listens', START_LIMIT_MS, async () =>
      readFileSync(join(folder, 'control.log'), 'utf8').includes('control and DERP on')
    )
    // One after the other, so that the addresses are in their order.
    for (const name of names) await tailnet.startDaemon(name)
    for (const name of names.slice(1)) {
      const [first] = names as [string]
      await until(`${name} reaches ${first} by its name`, START_LIMIT_MS, async () => {
        try {
          // TSMP goes through WireGuard, as packets do; other kinds of ping do not.
          await tailnet.tailscale(name, 'ping', '--tsmp', '--c=1', '--timeout=500ms', tailnet.ip(first))
          await run('ip', ['netns', 'exec', netnsOf(name), 'getent', 'hosts', `${first}.${DOMAIN}`])
          return true
        } catch {
          return false
        }
      })
    }
  } catch (error) {
    await tailnet.stop()
    throw error
  }
  return tailnet
}

/** Asks a process of ours to end; forces it after 10 s. */
export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const exited = once(child, 'exit')
  child.kill(signal)
  const timer = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await exited
  clearTimeout(timer)
}
