import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { type Daemon, PING_LIMIT_MS, STATUS_LIMIT_MS } from './daemon.ts'

/** Where tailscaled listens, for each system; the first that answers is taken. */
const SOCKETS: Partial<Record<NodeJS.Platform, string[]>> = {
  linux: [
    '/var/run/tailscale/tailscaled.sock',
    '/var/packages/Tailscale/var/tailscaled.sock',
    '/tmp/tailscale/tailscaled.sock',
    '/tmp/tailscaled.sock'
  ],
  darwin: ['/var/run/tailscaled.socket'],
  win32: ['\\\\.\\pipe\\ProtectedPrefix\\Administrators\\Tailscale\\tailscaled']
}

export const usualSockets = (): string[] => SOCKETS[process.platform] ?? []

const codeOf = (error: unknown): string => (error instanceof Error && 'code' in error ? String(error.code) : '')
/** There is no such socket or program. */
export const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT'
/** There is a socket, and nobody listens, or not for us. */
export const isRefused = (error: unknown): boolean => ['ECONNREFUSED', 'EACCES', 'EPERM'].includes(codeOf(error))

/** tailscaled's own HTTP on its socket. Rejects with the socket's error where nobody listens. */
export function localApi(socketPath: string): Daemon {
  const json = async (method: 'GET' | 'POST', path: string, limitMs: number): Promise<unknown> => {
    const answer = await ask(socketPath, method, `/localapi/v0/${path}`, limitMs)
    if (answer.status === 404) return null
    if (answer.status !== 200) throw new Error(`tailscaled answered ${answer.status}: ${answer.body.slice(0, 200)}`)
    return JSON.parse(answer.body)
  }
  return {
    status: () => json('GET', 'status', STATUS_LIMIT_MS),
    ping: ip => json('POST', `ping?${new URLSearchParams({ ip, type: 'disco' })}`, PING_LIMIT_MS),
    whois: address => json('GET', `whois?${new URLSearchParams({ addr: address })}`, STATUS_LIMIT_MS)
  }
}

async function ask(
  socketPath: string,
  method: string,
  path: string,
  limitMs: number
): Promise<{ status: number | undefined; body: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  request({
    socketPath,
    method,
    path,
    // tailscaled refuses any other name: a web page cannot send it.
    headers: { host: 'local-tailscaled.sock' },
    signal: AbortSignal.timeout(limitMs)
  })
    .on('response', resolve)
    .on('error', reject)
    .end()
  const answer = await promise
  return { status: answer.statusCode, body: await text(answer) }
}
