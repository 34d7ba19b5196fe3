import type { Logger } from './log.ts'

/** A file of ours in a line of a stack. */
const OUR_FILE = /\/((?:apps|packages)\/[^/]+\/src\/[^:)]+)/

/**
 * A promise that nobody awaited and that failed becomes a line of the log, which names the part it came from. It ends no
 * process: other jobs, units and requests go on.
 */
export function logStrayRejections(log: Logger): void {
  process.on('unhandledRejection', reason => {
    const stack = reason instanceof Error ? (reason.stack ?? '') : ''
    const part = OUR_FILE.exec(stack)?.[1] ?? 'unknown'
    log.error(
      { err: reason, part },
      'A promise failed that nobody awaited: this is a fault of the program, please report it'
    )
  })
}
