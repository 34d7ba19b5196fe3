import type { Logger } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import { peekNext, type UnitQueue } from '@sc/shared/queues.ts'
import type { BlobCache } from './blob-cache.ts'
import { fetchUnitFiles } from './unit-files.ts'

const LOOK_EVERY_MS = 5_000
/** A unit that is done by then is not worth looking ahead. */
const FIRST_LOOK_MS = 200

/**
 * While a unit runs: brings the files of the unit that would be taken next. It is only looked at, not taken, so that it
 * never waits behind a busy slot; at worst another slot takes it and a few MB were copied in vain.
 */
export async function prefetchNext(
  cache: BlobCache,
  queues: UnitQueue[],
  signal: AbortSignal,
  log: Logger
): Promise<void> {
  await pause(FIRST_LOOK_MS, signal)
  while (!signal.aborted) {
    try {
      const next = await peekNext(queues)
      if (next) (await fetchUnitFiles(cache, next, signal)).release()
    } catch (error) {
      if (!signal.aborted) log.debug({ err: error }, 'The next input was not fetched ahead')
    }
    await pause(LOOK_EVERY_MS, signal)
  }
}
