import { afterAll, expect, vi } from 'vitest'
import { childrenOfUs } from './children.ts'

/** After each test file: whatever process it started is gone. */
afterAll(async () => {
  if (process.platform !== 'linux') return
  await vi.waitFor(() => expect(childrenOfUs(), 'processes that the test file left running').toEqual([]), {
    timeout: 10_000,
    interval: 50
  })
})
