import { defineTask } from 'semantics-cluster'
import { z } from 'zod'

export default defineTask({
  name: 'noop',
  description: 'Does nothing.',
  input: z.object({ n: z.number().int() }),
  output: z.object({ n: z.number().int() }),
  async run({ n }) {
    return { n }
  }
})
