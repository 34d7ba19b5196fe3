import type { Server } from 'node:http'

/** Connections that say nothing cost a file each, and a process without files ends. */
const MOST = 2_000
/** Of one address, but for this machine's own: many machines may stand behind a proxy here. */
const MOST_OF_ADDRESS = 256

const LOCAL = /^(::ffff:)?127\.|^::1$/

/** Closes at once what comes beyond the limits, by whichever port. `most`: at most half of the files that the process may open. */
export function limitConnections(server: Server, { most = mostOpen(), mostOfAddress = MOST_OF_ADDRESS } = {}): void {
  const counts = new Map<string, number>()
  let all = 0
  server.prependListener('connection', socket => {
    const address = socket.remoteAddress ?? ''
    const own = counts.get(address) ?? 0
    if (all >= most || (own >= mostOfAddress && !LOCAL.test(address))) {
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
}

function mostOpen(): number {
  // Else it would look up the names of all peers.
  const report = Object.assign(process.report, { excludeNetwork: true })
  const { userLimits } = report.getReport() as { userLimits?: { open_files?: { soft?: number | 'unlimited' } } }
  const files = Number(userLimits?.open_files?.soft)
  return files > 0 ? Math.min(MOST, Math.floor(files / 2)) : MOST
}
