import type { InboxMessage } from '@sc/shared/inbox-message.ts'
import type { Logger } from '@sc/shared/log.ts'
import type { BlobCache } from './blob-cache.ts'
import { fetchUnitFiles } from './unit-files.ts'

type Ahead = Extract<InboxMessage, { type: 'prefetch' }>['units'][number]

export interface Prefetch {
  /** These go next, in this order; what was being fetched for others goes on. */
  fetch(units: Ahead[]): void
  stop(): void
}

/** Brings files into the cache before their unit comes, one unit after the other; at worst it never comes. */
export function createPrefetch(cache: BlobCache, log: Logger): Prefetch {
  const stopping = new AbortController()
  let next: Ahead[] = []
  let running = false

  async function run(): Promise<void> {
    running = true
    for (let unit = next.shift(); unit && !stopping.signal.aborted; unit = next.shift()) {
      try {
        ;(await fetchUnitFiles(cache, unit, stopping.signal)).release()
      } catch (error) {
        if (!stopping.signal.aborted) log.debug({ err: error }, 'The next input was not fetched ahead')
      }
    }
    running = false
  }

  return {
    fetch: units => {
      next = [...units]
      if (!running) void run()
    },
    stop: () => stopping.abort()
  }
}
