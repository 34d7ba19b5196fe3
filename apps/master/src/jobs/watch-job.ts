import { pause } from '@sc/shared/pause.ts'
import type { JobFeed } from './feed.ts'

/** Notices changes also between two waits. */
export function watchJob(feed: JobFeed, jobId: string) {
  let change = Promise.withResolvers<void>()
  const release = feed.onChange(jobId, () => change.resolve())
  return {
    release,
    reset: () => {
      change = Promise.withResolvers()
    },
    next: async (timeoutMs: number, signal: AbortSignal): Promise<void> => {
      const waited = new AbortController()
      await Promise.race([change.promise, pause(timeoutMs, AbortSignal.any([signal, waited.signal]))])
      waited.abort()
    }
  }
}
