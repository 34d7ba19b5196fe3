import type { OutboxMessage } from '@sc/shared/outbox-message.ts'

type Log = Extract<OutboxMessage, { type: 'log' }>
export type LogLine = Pick<Log, 'level' | 'message' | 'fields'>

/** What an attempt may say at once, and how quickly that comes back. A line without text counts LINE_CHARS. */
const BURST_CHARS = 256 * 1024
const CHARS_PER_SECOND = 16 * 1024
const LINE_CHARS = 128
/** Of one message, and of the fields of one line; no master keeps more. */
const MOST_CHARS = 8 * 1024
/** Of what is left out, the last lines follow: that is where a program says why it ended. */
const LAST_LINES = 20
const LOOK_MS = 1_000

export interface LogLines {
  add(line: LogLine): void
  /** Sends what is held back, with the number of lines that never will be. */
  stop(): void
}

/**
 * The log of one attempt, at a pace that holds up nobody: a task that writes in a loop would fill outbox, database and disk
 * with what nobody reads. Beyond its pace lines are counted, and only the last of them kept.
 */
export function createLogLines(send: (line: LogLine) => void): LogLines {
  let chars = BURST_CHARS
  let atMs = performance.now()
  let held: LogLine[] = []
  let leftOut = 0
  let timer: NodeJS.Timeout | undefined

  function refill(): void {
    const nowMs = performance.now()
    chars = Math.min(BURST_CHARS, chars + ((nowMs - atMs) / 1000) * CHARS_PER_SECOND)
    atMs = nowMs
  }

  function sendHeld(): void {
    if (leftOut > 0) {
      const message = `${leftOut.toLocaleString('en')} lines left out: the task wrote more than its log may have`
      send({ level: 'warn', message })
    }
    for (const line of held) send(line)
    leftOut = 0
    held = []
  }

  function look(): void {
    timer = undefined
    refill()
    const cost = sum(held)
    // Half of it: else each line would come with a notice of those before it.
    if (chars < cost + BURST_CHARS / 2) timer = setTimeout(look, LOOK_MS)
    else {
      chars -= cost
      sendHeld()
    }
  }

  return {
    add: said => {
      refill()
      const line = bounded(said)
      const cost = costOf(line)
      if (held.length === 0 && chars >= cost) {
        chars -= cost
        send(line)
        return
      }
      held.push(line)
      if (held.length > LAST_LINES) {
        held.shift()
        leftOut++
      }
      timer ??= setTimeout(look, LOOK_MS)
    },
    stop: () => {
      clearTimeout(timer)
      if (held.length > 0) sendHeld()
    }
  }
}

function bounded({ level, message, fields }: LogLine): LogLine {
  const text = message.length <= MOST_CHARS ? message : cut(message)
  const size = fields ? JSON.stringify(fields).length : 0
  const kept = size > MOST_CHARS ? { leftOut: `${size} characters of fields` } : fields
  return { level, message: text, ...(kept ? { fields: kept } : {}) }
}

function cut(message: string): string {
  return `${message.slice(0, MOST_CHARS).toWellFormed()} … (cut: ${message.length} characters)`
}

function costOf({ message, fields }: LogLine): number {
  return LINE_CHARS + message.length + (fields ? JSON.stringify(fields).length : 0)
}

function sum(lines: LogLine[]): number {
  return lines.reduce((chars, line) => chars + costOf(line), 0)
}
