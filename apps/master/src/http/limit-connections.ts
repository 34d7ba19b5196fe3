import type { Server } from 'node:http'

/** Connections that say nothing cost a file each, and a process without files ends. */
const MOST = 2_000
/** Of one address, but for this machine's own: many machines may stand behind a proxy here. */
const MOST_OF_ADDRESS = 256

/** Whoever floods the master is not even answered for so long. */
const REFUSED_MS = 2_000
const LOCAL = /^(::ffff:)?127\.|^::1$/

export interface ConnectionLimits {
  /** Closes at once what comes from this address for a while. */
  refuse(address: string): void
}

export function isLocal(address: string): boolean {
  return LOCAL.test(address)
}

/** Closes at once what comes beyond the limits, by whichever port. `most`: at most half of the files that the process may open. */
export function limitConnections(
  server: Server,
  { most = mostOpen(), mostOfAddress = MOST_OF_ADDRESS } = {}
): ConnectionLimits {
  const counts = new Map<string, number>()
  const refusedUntilMs = new Map<string, number>()
  let all = 0
  function isRefused(address: string): boolean {
    const untilMs = refusedUntilMs.get(address)
    if (untilMs === undefined) return false
    if (performance.now() < untilMs) return true
    refusedUntilMs.delete(address)
    return false
  }

  server.prependListener('connection', socket => {
    const address = socket.remoteAddress ?? ''
    const own = counts.get(address) ?? 0
    if (all >= most || (own >= mostOfAddress && !isLocal(address)) || isRefused(address)) {
      socket.destroy()
      return
    }
    all++
    counts.set(address, own + 1)
    socket.once('close', () => {
      all--
      const left = (counts.get(address) ?? 0) - 1
      if (left > 0) counts.set(address, left)
      else counts.delete(address)
    })
  })

  return {
    refuse: address => {
      if (!isLocal(address)) refusedUntilMs.set(address, performance.now() + REFUSED_MS)
    }
  }
}

function mostOpen(): number {
  // Else it would look up the names of all peers.
  const report = Object.assign(process.report, { excludeNetwork: true })
  const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft?: number | 'unlimited' } } }
  const files = Number(userLimits?.open_files?.soft)
  return files > 0 ? Math.min(MOST, Math.floor(files / 2)) : MOST
}
