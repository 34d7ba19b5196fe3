import { execa } from 'execa'
import { childEnv, searchPath } from '../config.ts'
import { findProgram, isProgram } from '../processes.ts'
import { type Daemon, PING_LIMIT_MS, STATUS_LIMIT_MS } from './daemon.ts'
import { readPong } from './ping.ts'

/** On macOS the program may be in its app alone. */
const MACOS_APP = '/Applications/Tailscale.app/Contents/MacOS/Tailscale'

/**
 * The `tailscale` command: for systems whose daemon has no socket that we may open. Never through a shell. Rejects with
 * ENOENT where there is no such program.
 */
export function commandLine(): Daemon {
  async function run(args: string[], timeout: number): Promise<string> {
    // Looked for before: to start a program that is not there takes a large process some 50 ms.
    const found = findProgram(['tailscale'], searchPath())
    const program = found ?? (isProgram(MACOS_APP) ? MACOS_APP : undefined)
    if (!program) throw Object.assign(new Error('there is no tailscale command'), { code: 'ENOENT' })
    const options = { timeout, reject: false, stdin: 'ignore', env: childEnv(), extendEnv: false } as const
    const { stdout } = await execa(program, args, options)
    return stdout ?? ''
  }
  return {
    // Without its daemon it prints a sentence, which is none.
    status: async () => JSON.parse(await run(['status', '--json'], STATUS_LIMIT_MS)),
    ping: async ip => {
      const text = await run(['ping', '--c=1', `--timeout=${PING_LIMIT_MS / 1000}s`, ip], PING_LIMIT_MS + 1_000)
      const { ok, rttMs, direct, relay, endpoint, error } = readPong(text)
      return {
        Err: ok ? '' : error,
        LatencySeconds: (rttMs ?? 0) / 1000,
        Endpoint: endpoint ?? '',
        DERPRegionCode: direct ? '' : (relay ?? '')
      }
    },
    whois: async address => parseJson(await run(['whois', '--json', address], STATUS_LIMIT_MS)) ?? null
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
