import type { JoinCode } from './join-codes.ts'

/** What is pasted on another machine so that it becomes a worker. */
export interface JoinAnswer {
  command: string
  alternatives: Array<{ title: string; command: string }>
  prerequisites: string[]
  mode: 'local' | 'lan' | 'tailscale'
  masterAddress: string
  /** Null: there is no code in the command, but USER:SECRET; `prerequisites` says what belongs there. */
  expiresAt: string | null
}

export interface Place {
  mode: JoinAnswer['mode']
  /** Address of Redis that others are told, without a login. */
  brokerUrl: string
  masterUrl: string
}

type Command = JoinAnswer['alternatives'][number]

/** What USER:SECRET stands for where no users can be made in Redis, and where they can. */
const ORDINARY_LOGIN = 'in the place of USER:SECRET, a login of the Redis that REDIS_URL names'
export const NO_CODE_YET =
  'in the place of USER:SECRET, a join code: “Add a machine” on the cluster page, `sc join` or POST /api/cluster/join-codes makes one'

/** `code` null: there is none, and `instead` says what stands in its place. */
export function joinAnswer(
  { mode, brokerUrl, masterUrl }: Place,
  code: JoinCode | null,
  instead = ORDINARY_LOGIN
): JoinAnswer {
  const login = code ? `${code.user}:${code.secret}` : 'USER:SECRET'
  const broker = brokerWith(brokerUrl, login)
  return {
    // npm comes with Node; pnpm need not be there.
    command: `npm run start:worker -- --broker ${broker}`,
    alternatives: [
      ...(code ? withoutTheProject(masterUrl, login) : []),
      { title: 'With pnpm', command: `pnpm start:worker --broker ${broker}` },
      {
        title: 'As a second worker of that machine',
        command: `npm run start:worker -- --name second --broker ${broker}`
      }
    ],
    prerequisites: [
      'Node 20 or later with npm, and Python 3.10 or later; or Docker',
      'for npm and pnpm: this project, installed once: node bootstrap/install.mjs',
      ...reachable(mode),
      ...(code ? [] : [instead])
    ],
    mode,
    masterAddress: masterUrl,
    expiresAt: code ? code.expiresAt.toISOString() : null
  }
}

/** `login`: `USER:SECRET`. */
export function brokerWith(brokerUrl: string, login: string): string {
  return brokerUrl.replace('://', `://${login}@`)
}

/** The machine gets the worker from the master, by the same code (`http/routes/install.ts`). */
function withoutTheProject(masterUrl: string, login: string): Command[] {
  const bearer = `Authorization: Bearer ${login}`
  // Without -f: a code that is over is answered by a script that says so.
  const curl = `curl -sSL -H "${bearer}" "${masterUrl}/worker/install.sh"`
  // Its folder alone says nothing: that is there as soon as it tries to join.
  const once = `ls ~/sc-worker/data/workers/*/identity.json >/dev/null 2>&1 || ${curl} | sh -s -- --no-start`
  return [
    { title: 'On Linux or macOS, without the project', command: `${curl} | sh` },
    {
      title: 'On Windows, in PowerShell, without the project',
      command: `irm -Headers @{ Authorization = 'Bearer ${login}' } ${masterUrl}/worker/install.ps1 | iex`
    },
    {
      title: 'With Docker (without an NVIDIA card, leave out --gpus all)',
      // Its own processes are to be told from those of the card's owner, who goes first: --pid.
      command: `docker run -d --name sc-worker --restart unless-stopped --network host --pid host --gpus all -v sc-worker:/root/sc-worker node:24-bookworm sh -c '${once}; exec ~/sc-worker/sc-worker run'`
    }
  ]
}

function reachable(mode: Place['mode']): string[] {
  if (mode === 'tailscale') return ['Tailscale, logged in to the same tailnet']
  if (mode === 'lan') return ['a place in the same network']
  return [
    'this very machine: the master listens on loopback only; start it with --mode lan or --mode tailscale for others'
  ]
}
