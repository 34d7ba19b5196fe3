/**
 * What a run started ends with the run, as in `python-gpu/sc_gpu/children.py`. This process adopts what its descendants
 * leave behind (`node-command.ts`), so that a daemon is its child as well. Those that it adopted stay as zombies until it
 * ends: Node collects only what it started.
 */
import { openSync, readSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { childrenOf, killProcess, type ProcessIdentity } from '@sc/shared/processes.ts'

const LOOK_MS = 5
/** For what a signal does not end at once. */
const LONGEST_MS = 2_000
/** Without the file each look is at all processes. */
const OWN_CHILDREN = `/proc/self/task/${process.pid}/children`

/** Those that run; the quick look comes first, since runs may take less than a millisecond. */
export function childrenNow(): ProcessIdentity[] {
  if (process.platform !== 'linux' || !mayHaveAny()) return []
  return childrenOf(process.pid)
}

/** Read through one descriptor, from the start each time: opening the file takes five times as long as a short run. */
let ownChildren: number | undefined
const firstSign = Buffer.alloc(1)

function mayHaveAny(): boolean {
  try {
    ownChildren ??= openSync(OWN_CHILDREN, 'r')
    return readSync(ownChildren, firstSign, 0, 1, 0) > 0
  } catch {
    return true
  }
}

/** Ends all children but those that were there before; what an ended child had started is a child of this process then. */
export async function endChildrenBut(before: ProcessIdentity[]): Promise<void> {
  const endMs = performance.now() + LONGEST_MS
  while (performance.now() < endMs) {
    const left = childrenNow().filter(one => !before.some(kept => isSame(one, kept)))
    if (left.length === 0) return
    for (const one of left) killProcess(one)
    await sleep(LOOK_MS)
  }
}

function isSame(a: ProcessIdentity, b: ProcessIdentity): boolean {
  return a.pid === b.pid && a.startedAt === b.startedAt
}
