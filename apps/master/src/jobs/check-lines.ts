import { ScError } from '@sc/shared/errors.ts'

/**
 * Checks that wait for a thread. Keys take turns, and in a key its tasks: whoever has much to check, of however many tasks,
 * holds up nobody else by more than the check that runs.
 */
export interface Waiting {
  readonly keyId: string
  readonly task: string
  /** Its input, as JSON text. */
  readonly chars: number
  refuse(error: ScError): void
}

interface Line<T> {
  /** The task whose turn is next comes first. */
  tasks: Map<string, T[]>
  count: number
  chars: number
}

/** Of one key. */
const MOST_OF_KEY = 5_000
const MOST_CHARS_OF_KEY = 16 * 1024 ** 2
/** Of all. */
const MOST_CHARS = 64 * 1024 ** 2

/** `largest`: characters of the largest input that there may be, of which two of a key may wait, and four of all. */
export function createCheckLines<T extends Waiting>({ mostChars: least = MOST_CHARS, largest = 0 } = {}) {
  const mostCharsOfKey = MOST_CHARS_OF_KEY + 2 * largest
  const mostChars = least + 4 * largest
  /** The key whose turn is next comes first. */
  const lines = new Map<string, Line<T>>()
  let chars = 0

  function remove(one: T): void {
    const line = lines.get(one.keyId)
    const ofTask = line?.tasks.get(one.task)
    const at = ofTask?.indexOf(one) ?? -1
    if (!line || !ofTask || at < 0) return
    ofTask.splice(at, 1)
    line.count--
    line.chars -= one.chars
    chars -= one.chars
    if (ofTask.length === 0) line.tasks.delete(one.task)
    if (line.count === 0) lines.delete(one.keyId)
  }

  /** Of the key that has most, if that is more than `ofKey`. */
  function longestLine(ofKey: number): Line<T> | undefined {
    const [longest] = [...lines.values()].sort((a, b) => b.chars - a.chars)
    return longest && longest.chars > ofKey ? longest : undefined
  }

  return {
    /** SC_OVERLOADED: too much waits for its key, or for all and most of it for its key. */
    add: (one: T): void => {
      const { keyId, task } = one
      const line = lines.get(keyId) ?? { tasks: new Map(), count: 0, chars: 0 }
      const ofKey = line.chars + one.chars
      if (line.count >= MOST_OF_KEY || ofKey > mostCharsOfKey) throw overloaded()
      while (chars + one.chars > mostChars) {
        const last = [...(longestLine(ofKey)?.tasks.values() ?? [])].at(-1)?.at(-1)
        if (!last) throw overloaded()
        remove(last)
        last.refuse(overloaded())
      }
      const ofTask = line.tasks.get(task) ?? []
      ofTask.push(one)
      line.tasks.set(task, ofTask)
      line.count++
      line.chars = ofKey
      chars += one.chars
      lines.set(keyId, line)
    },
    remove,
    /** Takes the next one of a key that is none of `busy`; the key and its task go to the end. */
    take: (busy: ReadonlySet<string>): T | undefined => {
      for (const [keyId, line] of lines) {
        const [ofTask = []] = line.tasks.values()
        const [one] = ofTask
        if (busy.has(keyId) || !one) continue
        remove(one)
        lines.delete(keyId)
        line.tasks.delete(one.task)
        if (ofTask.length > 0) line.tasks.set(one.task, ofTask)
        if (line.count > 0) lines.set(keyId, line)
        return one
      }
      return
    },
    all: (): T[] => [...lines.values()].flatMap(({ tasks }) => [...tasks.values()].flat())
  }
}

function overloaded(): ScError {
  return new ScError('SC_OVERLOADED', 'Too many inputs of this key wait to be checked. Send fewer at once.')
}
