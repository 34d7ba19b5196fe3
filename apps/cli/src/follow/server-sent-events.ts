/** Server-sent events out of a body, as the HTML standard reads them: https://html.spec.whatwg.org/#event-stream-interpretation */
export interface ServerSentEvent {
  event: string
  data: string
  /** The last id that the stream has named so far, to be sent as `Last-Event-ID` when it breaks. */
  lastEventId: string | undefined
}

export async function* readServerSentEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  let event = ''
  let data: string[] = []
  let lastEventId: string | undefined
  for await (const line of linesOf(body)) {
    if (line === '') {
      // An event without data is none; one that the stream's end cuts off is none either.
      if (data.length > 0) yield { event: event || 'message', data: data.join('\n'), lastEventId }
      event = ''
      data = []
      continue
    }
    const [name, value] = splitField(line)
    if (name === 'event') event = value
    else if (name === 'data') data.push(value)
    else if (name === 'id' && !value.includes('\0')) lastEventId = value
  }
}

/** `name: value`; a comment (`: ping`) has an empty name. */
function splitField(line: string): [string, string] {
  const colon = line.indexOf(':')
  if (colon === -1) return [line, '']
  const value = line.slice(colon + 1)
  return [line.slice(0, colon), value.startsWith(' ') ? value.slice(1) : value]
}

/** Lines end with LF, CRLF or CR; an unfinished last line is dropped. */
async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of body) {
    rest += decoder.decode(bytes, { stream: true })
    // A CR at the very end may be the first half of a CRLF: it waits for the next bytes.
    const lines = rest.split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop() as string
    yield* lines
  }
}
