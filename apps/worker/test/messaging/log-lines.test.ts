import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createLogLines, type LogLine } from '../../src/messaging/log-lines.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

function open() {
  const sent: LogLine[] = []
  const lines = createLogLines(line => sent.push(line))
  const say = (...texts: string[]) => {
    for (const message of texts) lines.add({ level: 'info', message })
  }
  return { lines, say, texts: () => sent.map(({ message }) => message) }
}
const range = (count: number) => Array.from({ length: count }, (_, at) => `line ${at}`)

describe('the log of an attempt', () => {
  it('is sent as it comes while it is short', () => {
    const { lines, say, texts } = open()
    say(...range(1_000))
    expect(texts()).toEqual(range(1_000))
    lines.stop()
    expect(texts()).toHaveLength(1_000)
  })

  it('leaves out what is too much, says how much, and ends with the last lines', () => {
    const { lines, say, texts } = open()
    say(...range(20_000))
    const first = texts().length
    expect(first).toBeGreaterThan(1_000)
    expect(first).toBeLessThan(2_100)
    lines.stop()
    expect(texts().slice(first)).toEqual([
      `${(20_000 - first - 20).toLocaleString('en')} lines left out: the task wrote more than its log may have`,
      ...range(20_000).slice(-20)
    ])
  })

  it('goes on when some time has passed, in order', () => {
    const { lines, say, texts } = open()
    say(...range(3_000))
    const first = texts().length
    vi.advanceTimersByTime(20_000)
    expect(texts()).toHaveLength(first + 21)
    say('after')
    expect(texts().slice(-2)).toEqual(['line 2999', 'after'])
    lines.stop()
    expect(texts().at(-1)).toBe('after')
  })

  it('of a task that never pauses has no more than its pace', () => {
    const { lines, say, texts } = open()
    for (let second = 0; second < 120; second++) {
      say(...range(500))
      vi.advanceTimersByTime(1_000)
    }
    lines.stop()
    const chars = texts().reduce((sum, text) => sum + 128 + text.length, 0)
    expect(chars).toBeLessThan(256 * 1024 + 120 * 16 * 1024 + 10_000)
    const notices = texts().filter(text => text.includes('lines left out'))
    const leftOut = notices.reduce((sum, text) => sum + Number(text.split(' ')[0]?.replaceAll(',', '')), 0)
    expect(texts().length - notices.length + leftOut).toBe(120 * 500)
  })

  it('counts long lines by their text, and cuts what nobody keeps', () => {
    const { say, texts } = open()
    say(...Array.from({ length: 100 }, () => 'x'.repeat(8_000)))
    expect(texts().length).toBeLessThan(40)
    const { lines, say: saysMuch, texts: cut } = open()
    saysMuch('x'.repeat(5_000_000), 'short')
    lines.add({ level: 'info', message: 'f', fields: { much: 'x'.repeat(5_000_000) } })
    expect(cut()).toEqual([expect.stringMatching(/^x{8192} … \(cut: 5000000 characters\)$/), 'short', 'f'])
  })
})
