import { randomUUID } from 'node:crypto'
import { readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** Folder of one upload; its name says which process receives it. */
export function uploadFolder(spoolDir: string): string {
  return join(spoolDir, `upload-${process.pid}-${randomUUID()}`)
}

/** Removes what masters that were killed had begun to receive. Call it before listening. */
export async function removeStaleUploads(spoolDir: string): Promise<void> {
  for (const name of await readdir(spoolDir)) {
    const pid = Number(/^upload-(\d+)-/.exec(name)?.[1])
    if (pid && !isOther(pid)) await rm(join(spoolDir, name), { recursive: true, force: true })
  }
}

/** A process that runs and is not this one (which has received nothing yet). */
function isOther(pid: number): boolean {
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // EPERM: it runs, as another user.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
