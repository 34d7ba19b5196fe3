import { Resolver } from 'node:dns/promises'

/**
 * Asks the name servers itself: the system's `getaddrinfo` cannot be stopped and takes a thread for as long as a server of a
 * name is silent, and two such names of anybody would leave none for the others. `servers`: for tests; default those of the system.
 */
export async function resolveName(hostname: string, stop: AbortSignal, servers?: string[]): Promise<string[]> {
  const resolver = new Resolver({ timeout: 2_500, tries: 2 })
  if (servers) resolver.setServers(servers)
  const cancel = (): void => resolver.cancel()
  stop.addEventListener('abort', cancel, { once: true })
  try {
    const asked = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)])
    const found = asked.flatMap(answer => (answer.status === 'fulfilled' ? answer.value : []))
    const [first] = asked
    if (found.length === 0 && first.status === 'rejected') throw first.reason
    return found
  } finally {
    stop.removeEventListener('abort', cancel)
  }
}
