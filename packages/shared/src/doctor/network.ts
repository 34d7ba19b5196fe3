import { lookup } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { connect, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { isTailnetAddress } from '../tailscale/address.ts'
import { openTailscale } from '../tailscale/ask.ts'
import { type Check, failed, type Outcome, ok, warning } from './finding.ts'
import { tailnetPath } from './tailnet-path.ts'

/** The way from this machine to another of the cluster: its name, whether it answers, how far it is, by which path. */
export interface Target {
  /** `master` or `broker`, for the names of the checks. */
  what: string
  host: string
  port: number
}

const ANSWER_MS = 5_000
const ROUND_TRIPS = 5
const SLOW_MS = 200
/** What IPv6 and Tailscale need at least. */
const LEAST_MTU = 1280
/** More than any packet carries. */
const LARGE_BYTES = 8_000
const CLOCK_WRONG_MS = 5_000

export function targetOf(what: string, url: string): Target {
  const { protocol, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const usual = { 'http:': 80, 'https:': 443 }[protocol] ?? 6379
  return { what, host, port: Number(port) || usual }
}

/** Name and port. */
export function checkReach(target: Target): Check[] {
  const { what, host } = target
  return [
    {
      name: `${what}: name`,
      look: async () => {
        if (isIP(host)) return ok(`${host} is an address`)
        const addresses = await lookup(host, { all: true })
        return ok(`${host} is ${addresses.map(({ address }) => address).join(', ')}`)
      },
      next: host.endsWith('.ts.net')
        ? 'A name of a tailnet: look whether Tailscale runs here (`tailscale status`) and has MagicDNS on.'
        : `Look whether ${host} is spelled right, or use the address of that machine.`
    },
    checkRoundTrip(target)
  ]
}

export function checkRoundTrip(target: Target): Check {
  const { what, host, port } = target
  return {
    name: `${what}: round trip`,
    look: async () => {
      const times: number[] = []
      for (let at = 0; at < ROUND_TRIPS; at++) times.push((await open(target)).tookMs)
      const typical = times.sort((a, b) => a - b)[Math.floor(ROUND_TRIPS / 2)] as number
      const found = `${host}:${port} answers in ${typical.toFixed(1)} ms`
      if (typical < SLOW_MS) return ok(found)
      return warning(found, 'A far or busy connection: units still run, each a little later. Look at the path to it.')
    },
    next: `Nothing answers at ${host}:${port}. Look whether the ${what} runs, listens for other machines (not in mode local), and no firewall is in between.`
  }
}

/** Path, size of packets and clock, of a master that answers. `socket`: of tailscaled, as in `openTailscale`. */
export function checkPath(target: Target, url: string, socket: string | undefined): Check[] {
  const { what, host } = target
  const health = new URL('healthz', `${url}/`)
  return [
    {
      name: `${what}: path`,
      look: async () => {
        const { local, remote } = await open(target)
        const own = Object.values(networkInterfaces()).flat()
        if (own.some(one => one?.address === remote)) return ok(`${remote} is this machine`)
        if (isTailnetAddress(remote)) return await tailnetPath(remote, openTailscale({ socket }))
        return ok(`direct, from ${local} (${interfaceOf(local) ?? 'no interface'}) to ${remote}`)
      },
      next: `Nothing answers at ${host}: see the round trip above.`
    },
    {
      name: `${what}: packet size`,
      look: async () => {
        const { local } = await open(target)
        const name = interfaceOf(local)
        const mtu = name === undefined ? undefined : await mtuOf(name)
        const found = mtu === undefined ? `${name ?? local}: its MTU cannot be read here` : `${name} has MTU ${mtu}`
        const goesThrough = await sendLarge(health).then(
          () => true,
          () => false
        )
        if (!goesThrough)
          return failed(
            `${found}, and a request of ${LARGE_BYTES} bytes gets no answer`,
            `Packets of full size get lost on the way: lower the MTU of ${name ?? 'the interface'} to ${LEAST_MTU}, or let ICMP "too big" through.`
          )
        if (mtu !== undefined && mtu < LEAST_MTU)
          return warning(
            `${found}; ${LARGE_BYTES} bytes go through`,
            `Raise the MTU of ${name} to ${LEAST_MTU} or more.`
          )
        return ok(`${found}; ${LARGE_BYTES} bytes go through`)
      },
      next: `Nothing answers at ${host}: see the round trip above.`
    },
    checkClock(what, url)
  ]
}

/** Of a master that answers at `url`. */
export function checkClock(what: string, url: string): Check {
  const health = new URL('healthz', `${url}/`)
  return {
    name: `${what}: clock`,
    look: async () => {
      const askedMs = Date.now()
      const answer = await fetch(health, { signal: AbortSignal.timeout(ANSWER_MS) })
      if (!answer.ok) throw new Error(`${health} answers ${answer.status}`)
      return clockOutcome(answer.headers.get('date'), (askedMs + Date.now()) / 2)
    },
    next: `Look whether a master of Semantics Cluster runs at ${health.origin}.`
  }
}

/** The header has whole seconds. */
export function clockOutcome(date: string | null, hereMs: number): Outcome {
  const thereMs = Date.parse(date ?? '') + 500
  if (Number.isNaN(thereMs)) return ok('the master does not say what time it is')
  const offMs = hereMs - thereMs
  if (Math.abs(offMs) < CLOCK_WRONG_MS) return ok(`within ${Math.ceil(Math.abs(offMs) / 1000) || 1} s of the master's`)
  const direction = offMs > 0 ? 'ahead of' : 'behind'
  return warning(
    `this machine is ${Math.round(Math.abs(offMs) / 1000)} s ${direction} the master`,
    'Let both machines set their clocks by NTP. No unit depends on it; times in logs do not fit together, and Tailscale may refuse to log in.'
  )
}

/** Opens and closes a connection. */
function open({ host, port }: Target): Promise<{ tookMs: number; local: string; remote: string }> {
  const startedMs = performance.now()
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: ANSWER_MS })
    socket.once('connect', () => {
      const { localAddress = '', remoteAddress = '' } = socket
      socket.destroy()
      const plain = (address: string) => address.replace(/^::ffff:/, '')
      resolve({ tookMs: performance.now() - startedMs, local: plain(localAddress), remote: plain(remoteAddress) })
    })
    socket.once('timeout', () => {
      socket.destroy()
      reject(new Error(`no answer from ${host}:${port} within ${ANSWER_MS / 1000} s`))
    })
    socket.once('error', (error: Error) => {
      const [first = error] = error instanceof AggregateError ? (error.errors as Error[]) : [error]
      reject(first)
    })
  })
}

function interfaceOf(address: string): string | undefined {
  return Object.entries(networkInterfaces()).find(([, all]) => all?.some(one => one.address === address))?.[0]
}

async function mtuOf(name: string): Promise<number | undefined> {
  return Number(await readFile(`/sys/class/net/${name}/mtu`, 'utf8').catch(() => '')) || undefined
}

async function sendLarge(url: URL): Promise<void> {
  const headers = { 'x-padding': 'x'.repeat(LARGE_BYTES) }
  const answer = await fetch(url, { headers, signal: AbortSignal.timeout(ANSWER_MS) })
  await answer.body?.cancel()
}
