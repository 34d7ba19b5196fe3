import { writeSync } from 'node:fs'
import type { FromChildLine } from '@sc/shared/python-protocol.ts'
import { PROTOCOL_FD } from '../node-command.ts'

export type Send = (message: FromChildLine) => void

/** Results are written by then, when short tasks follow each other without a pause. */
const LONGEST_HELD_MS = 5

/**
 * Writes whole lines. Results wait for the end of the event loop's turn: a system call for each is what short tasks spend
 * most time on. All else goes out at once, with what waits: a task may compute for hours after it. Throws on what is not JSON.
 */
export function createSend(): Send {
  let lines = ''
  let firstMs = 0
  let isPlanned = false

  function flush(): void {
    const held = Buffer.from(lines)
    lines = ''
    try {
      for (let rest = held; rest.length > 0; ) rest = rest.subarray(writeSync(PROTOCOL_FD, rest))
    } catch {
      // Nobody reads any more: the worker is gone.
      process.exit(0)
    }
  }

  process.on('exit', flush)
  return message => {
    const line = `${JSON.stringify(message)}\n`
    if (lines === '') firstMs = performance.now()
    lines += line
    const mayWait = message.type === 'result' && performance.now() - firstMs < LONGEST_HELD_MS
    if (!mayWait) return flush()
    if (isPlanned) return
    isPlanned = true
    setImmediate(() => {
      isPlanned = false
      flush()
    })
  }
}
