import { watch } from 'node:fs'
import type { Logger } from './log.ts'

/** An editor or a copy writes a file in several steps. */
const SETTLE_MS = 200

/** Calls `onChange` after files in a folder came, went or changed. Answers how to end it. */
export function watchFolder(folder: string, onChange: () => void, log: Logger): () => void {
  let timer: NodeJS.Timeout | undefined
  const onError = (error: unknown): void =>
    log.warn({ err: error, folder }, 'Changes of the tasks folder are not seen: restart the worker after one')
  try {
    const watcher = watch(folder, () => {
      clearTimeout(timer)
      timer = setTimeout(onChange, SETTLE_MS)
    })
    watcher.on('error', onError)
    return () => {
      clearTimeout(timer)
      watcher.close()
    }
  } catch (error) {
    // The system allows a number of watched folders only.
    onError(error)
    return () => {}
  }
}
