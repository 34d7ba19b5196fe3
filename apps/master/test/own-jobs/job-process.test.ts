import { existsSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createLog } from '@sc/shared/log.ts'
import { expect, it, vi } from 'vitest'
import { JobProcess } from '../../src/own-jobs/job-process.ts'
import type { OutcomeLine } from '../../src/own-jobs/protocol.ts'

const folder = mkdtempSync(join(tmpdir(), 'sc-job-process-'))
const [BLOCKED, GATE] = [join(folder, 'blocked'), join(folder, 'gate')]
writeFileSync(
  join(folder, 'blocks.ts'),
  `
  import { existsSync, writeFileSync } from 'node:fs'
  import { defineJob } from 'semantics-cluster'
  import { z } from 'zod'
  export default defineJob({
    name: 'blocks',
    input: z.object({}),
    output: z.any(),
    async *plan() {
      writeFileSync(${JSON.stringify(BLOCKED)}, '')
      while (!existsSync(${JSON.stringify(GATE)}));
    },
    merge: units => units.length
  })`
)

it('a merge reads no more of its units than the process has taken', async () => {
  const jobs = new JobProcess({ tasksDir: folder, log: createLog('test', 'silent') })
  try {
    await jobs.ready
    const { signal } = new AbortController()
    const about = { job: 'blocks', input: async () => '{}', signal }
    const planned = jobs.plan(about).next()
    await vi.waitFor(() => expect(existsSync(BLOCKED)).toBe(true), { timeout: 15_000 })
    let pages = 0
    const unit = { task: 'add', input: JSON.stringify('x'.repeat(1024 ** 2)), output: '1', error: null }
    async function* units(): AsyncGenerator<OutcomeLine[]> {
      for (; pages < 20; pages++) yield [{ unitId: `${pages}`, ...unit }]
    }
    const merged = jobs.merge({ ...about, units: units() })
    // As long as it needs to take all of them.
    await new Promise(resolve => setTimeout(resolve, 500))
    expect(pages).toBeLessThan(3)
    writeFileSync(GATE, '')
    expect(await merged).toBe('20')
    expect(await planned).toMatchObject({ done: true })
  } finally {
    await jobs.stop()
  }
})
