import { defineJob } from 'semantics-cluster'
import { z } from 'zod'

export default defineJob({
  name: 'count-lines',
  description: 'Counts the words of each line, on as many machines as there are',
  input: z.object({ text: z.string().min(1) }),
  output: z.object({ words: z.array(z.number().int()), total: z.number().int() }),
  async *plan({ text }) {
    for (const line of text.split('\n')) yield { task: 'word-count', input: { text: line } }
  },
  merge: units => {
    const words = units.map(({ output }) => (output as { words: number }).words)
    return { words, total: words.reduce((sum, count) => sum + count, 0) }
  }
})
