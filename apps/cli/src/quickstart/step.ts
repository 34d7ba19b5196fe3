/** One line for a step: with a running detail on a terminal, else a line at its start and one at its end. */
import type { WriteStream } from 'node:tty'
import { printable } from '@sc/shared/printable.ts'

const DRAW_EVERY_MS = 200

export interface Step {
  detail(text: string): void
}

export async function runStep<T>(title: string, stream: WriteStream, work: (step: Step) => Promise<T>): Promise<T> {
  const startedMs = performance.now()
  const seconds = (): string => `${((performance.now() - startedMs) / 1000).toFixed(1)} s`
  const erase = stream.isTTY ? '\r\x1b[2K' : ''
  let detail = ''
  const draw = (): void => {
    const line = `… ${title}  ${seconds()}  ${detail}`
    stream.write(`${erase}${line.slice(0, (stream.columns ?? 80) - 1)}`)
  }
  if (!stream.isTTY) stream.write(`- ${title} …\n`)
  const timer = stream.isTTY ? setInterval(draw, DRAW_EVERY_MS) : undefined
  let mark = '✗'
  try {
    const result = await work({
      detail: text => {
        detail = printable(text)
      }
    })
    mark = '✓'
    return result
  } finally {
    clearInterval(timer)
    stream.write(`${erase}${mark} ${title} (${seconds()})\n`)
  }
}
