/** A line of a child is at most this long: beyond, it writes without end. */
const MAX_LINE_BYTES = 64 * 1024 * 1024

/** Cuts what a child writes into lines; `onTooLong` is called once, for the first line without an end. */
export function createLineSplitter(onLine: (line: string) => void, onTooLong: () => void): (chunk: Buffer) => void {
  let pieces: Buffer[] = []
  let heldBytes = 0
  let given = false
  return chunk => {
    let from = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      onLine(Buffer.concat([...pieces, chunk.subarray(from, end)]).toString('utf8'))
      pieces = []
      heldBytes = 0
      from = end + 1
    }
    if (from === chunk.length || given) return
    pieces.push(chunk.subarray(from))
    heldBytes += chunk.length - from
    if (heldBytes <= MAX_LINE_BYTES) return
    given = true
    pieces = []
    onTooLong()
  }
}

/** Keeps the last `bytes` of a text that arrives in pieces. */
export function createTail(bytes: number): { add(text: string): void; text(): string } {
  let tail = ''
  return {
    add: text => {
      tail = (tail + text).slice(-bytes)
    },
    text: () => tail.trim()
  }
}

/** The line of a message; `input`: its field of that name as JSON text, which may be long, and is not taken apart. */
export function lineOf(message: object, input?: string): string {
  const line = JSON.stringify(message)
  return input === undefined ? line : `${line.slice(0, -1)},"input":${input}}`
}
