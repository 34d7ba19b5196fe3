import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, expect, vi } from 'vitest'

/** After each test file: whatever process it started is gone. */
afterAll(async () => {
  if (process.platform !== 'linux') return
  await vi.waitFor(() => expect(children(), 'processes that the test file left running').toEqual([]), {
    timeout: 10_000,
    interval: 50
  })
})

function children(): string[] {
  return readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .flatMap(pid => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        if (Number(parent) !== process.pid || state === 'Z') return []
        return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`]
      } catch {
        return []
      }
    })
}
