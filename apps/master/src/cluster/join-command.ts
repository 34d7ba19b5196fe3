import type { JoinCode } from './join-codes.ts'

/** What is pasted on another machine so that it becomes a worker. */
export interface JoinAnswer {
  command: string
  alternatives: Array<{ title: string; command: string }>
  prerequisites: string[]
  mode: 'local' | 'lan' | 'tailscale'
  masterAddress: string
  /** Null: there is no code in the command, but the place of an ordinary login. */
  expiresAt: string | null
}

export interface Place {
  mode: JoinAnswer['mode']
  /** Address of Redis that others are told, without a login. */
  brokerUrl: string
  masterUrl: string
}

/** `code` null: where no users can be made in Redis. */
export function joinAnswer({ mode, brokerUrl, masterUrl }: Place, code: JoinCode | null): JoinAnswer {
  const broker = brokerUrl.replace('://', code ? `://${code.user}:${code.secret}@` : '://USER:SECRET@')
  return {
    command: `pnpm start:worker --broker ${broker}`,
    alternatives: [
      { title: 'With npm', command: `npm run start:worker -- --broker ${broker}` },
      { title: 'A second worker of the same machine', command: `pnpm start:worker --name second --broker ${broker}` }
    ],
    prerequisites: [
      'Node 20 or later and Python 3.10 or later',
      'this project, installed once: npm run quickstart -- --once',
      ...reachable(mode),
      ...(code ? [] : ['in the place of USER:SECRET, a login of the Redis that REDIS_URL names'])
    ],
    mode,
    masterAddress: masterUrl,
    expiresAt: code ? code.expiresAt.toISOString() : null
  }
}

function reachable(mode: Place['mode']): string[] {
  if (mode === 'tailscale') return ['Tailscale, logged in to the same tailnet']
  if (mode === 'lan') return ['a place in the same network']
  return [
    'this very machine: the master listens on loopback only; start it with --mode lan or --mode tailscale for others'
  ]
}
