import { type Finding, failed } from '@sc/shared/doctor/finding.ts'

const HOUR_MS = 3_600_000
const MOST_NAMED = 3

/** How much workers wrote in this hour and the one before, so that the doctor can name who fills the disk. */
export function createReadLately() {
  let current = new Map<string, number>()
  let before = new Map<string, number>()
  let sinceMs = performance.now()

  function turn(): void {
    if (performance.now() - sinceMs < HOUR_MS) return
    before = current
    current = new Map()
    sinceMs = performance.now()
  }

  return {
    add(workerId: string, chars: number): void {
      turn()
      current.set(workerId, (current.get(workerId) ?? 0) + chars)
    },
    /** What to say while the disk has no room for what they write. */
    findings(): Finding[] {
      turn()
      const all = [...new Set([...current.keys(), ...before.keys()])]
        .map(id => ({ id, chars: (current.get(id) ?? 0) + (before.get(id) ?? 0) }))
        .sort((a, b) => b.chars - a.chars)
      const most = all.slice(0, MOST_NAMED).map(({ id, chars }) => `${id} ${Math.ceil(chars / 1024 ** 2)} MB`)
      return [
        {
          check: 'master: room for results',
          ...failed(
            `the disk is nearly full, and what workers answer waits until there is room; in the last hour or two wrote most: ${most.join(', ') || 'nobody'}`,
            'Make room on the disk of the master, or delete jobs. A worker that should not write so much: `DELETE /api/workers/ID`.'
          )
        }
      ]
    }
  }
}
