import { defineTask } from 'semantics-cluster'
import { z } from 'zod'

export default defineTask({
  name: 'word-count',
  description: 'Counts words and lines',
  input: z.object({ text: z.string().min(1) }),
  output: z.object({ words: z.number().int(), lines: z.number().int() }),
  async run({ text }, { log, signal, progress }) {
    const lines = text.split('\n')
    let words = 0
    for (const [index, line] of lines.entries()) {
      signal.throwIfAborted()
      words += line.split(/\s+/).filter(word => word !== '').length
      progress((index + 1) / lines.length, { words })
    }
    log('Counted', { words })
    return { words, lines: lines.length }
  }
})
