/** A server-sent event as it came over the wire. */
export interface WireEvent {
  event: string
  id: string | undefined
  // biome-ignore lint/suspicious/noExplicitAny: what a test looks at differs from event to event.
  data: any
}

/** Reads a stream of events until its end, or until `until` says so (then the connection is closed). */
export async function readEvents(
  url: string,
  headers: Record<string, string>,
  onEvent: (event: WireEvent, all: WireEvent[]) => boolean | Promise<boolean> = () => false
): Promise<WireEvent[]> {
  const stop = new AbortController()
  const answer = await fetch(url, { headers, signal: stop.signal })
  if (!answer.ok || !answer.body) throw new Error(`${answer.status} ${await answer.text()}`)
  const all: WireEvent[] = []
  let rest = ''
  for await (const text of answer.body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + text).split('\n\n')
    rest = blocks.pop() ?? ''
    for (const block of blocks) {
      const fields = new Map(block.split('\n').map(line => line.split(/: (.*)/s).slice(0, 2) as [string, string]))
      const event = fields.get('event')
      if (!event) continue
      const one = { event, id: fields.get('id'), data: JSON.parse(fields.get('data') ?? 'null') }
      all.push(one)
      if (!(await onEvent(one, all))) continue
      stop.abort()
      return all
    }
  }
  return all
}
