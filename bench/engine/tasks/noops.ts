import { defineJob } from 'semantics-cluster'
import { z } from 'zod'

export default defineJob({
  name: 'noops',
  description: 'Many units that do nothing.',
  input: z.object({ units: z.number().int().min(1) }),
  output: z.object({ sum: z.number().int() }),
  async *plan({ units }) {
    for (let n = 0; n < units; n++) yield { task: 'noop', input: { n } }
  },
  merge: units => ({ sum: units.reduce((sum, { output }) => sum + (output as { n: number }).n, 0) })
})
