import { writeSync } from 'node:fs'
import { PROTOCOL_FDS } from './node-command.ts'

/** What may wait is written by then, when short runs follow each other without a pause. */
const LONGEST_HELD_MS = 5
/** A user's code may not end the process; this may. */
const exit = process.exit.bind(process)

/**
 * Writes whole lines. What `mayWait` does so until the end of the event loop's turn: a system call for each is what short
 * runs spend most time on. All else goes out at once, with what waits: a task may compute for hours after it. Throws on what
 * is not JSON.
 */
export function createSend<Message>(mayWait: (message: Message) => boolean): (message: Message) => void {
  let lines = ''
  let firstMs = 0
  let isPlanned = false

  function flush(): void {
    const held = Buffer.from(lines)
    lines = ''
    try {
      for (let rest = held; rest.length > 0; ) rest = rest.subarray(writeSync(PROTOCOL_FDS.out, rest))
    } catch {
      // Nobody reads any more: the parent is gone.
      exit(0)
    }
  }

  process.on('exit', flush)
  return message => {
    const line = `${JSON.stringify(message)}\n`
    if (lines === '') firstMs = performance.now()
    lines += line
    if (!mayWait(message) || performance.now() - firstMs >= LONGEST_HELD_MS) return flush()
    if (isPlanned) return
    isPlanned = true
    setImmediate(() => {
      isPlanned = false
      flush()
    })
  }
}
