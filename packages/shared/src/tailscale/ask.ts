import { commandLine } from './command-line.ts'
import type { Daemon } from './daemon.ts'
import { isMissing, isRefused, localApi, usualSockets } from './local-api.ts'

/** The answer of the first way that leads to tailscaled; undefined: this machine has no Tailscale. */
export type AskTailscale = <T>(question: (daemon: Daemon) => Promise<T>) => Promise<T | undefined>

/**
 * Tailscale of this machine, by tailscaled's socket, else by the `tailscale` command. `socket` is the only way then; else
 * `sockets` are tried, and the command after them.
 */
export function openTailscale({
  socket,
  sockets = usualSockets()
}: {
  socket?: string | undefined
  sockets?: string[] | undefined
} = {}): AskTailscale {
  const daemons = socket ? [localApi(socket)] : [...sockets.map(localApi), commandLine()]
  return async question => {
    let refused: unknown
    for (const daemon of daemons) {
      try {
        return await question(daemon)
      } catch (error) {
        if (isRefused(error)) refused = error
        else if (!isMissing(error)) throw error
      }
    }
    if (refused) throw refused
    return undefined
  }
}
