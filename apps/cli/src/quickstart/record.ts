/**
 * `quickstart.json` in the data folder says which processes a quickstart has started and whether it is stopping them.
 * After `kill -9` they end by themselves, but not in no time: the next quickstart waits for them here, since neither a
 * data folder nor a worker's name can have two owners.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type DataDir, readFileIfAny, writePrivateFile } from '@sc/shared/data-dir.ts'
import { endProcess, identityOf, isRunning, type ProcessIdentity } from '@sc/shared/processes.ts'
import { z } from 'zod'
import type { Child } from './child.ts'

const identitySchema = z.object({ pid: z.number().int(), startedAt: z.string() })
const recordSchema = z.object({ owner: identitySchema, stopping: z.boolean(), children: z.array(identitySchema) })
type QuickstartRecord = z.infer<typeof recordSchema>

const LOOK_EVERY_MS = 100
/** An orphan has begun to stop already; a second signal hurries it up. */
const ORPHAN_GRACE_MS = 10_000

const pathOf = (dir: DataDir): string => join(dir.root, 'quickstart.json')

export function writeRecord(dir: DataDir, children: Child[], stopping: boolean): void {
  const owner = identityOf(process.pid)
  if (!owner) return
  const identities = children.flatMap(({ pid }) => (pid === undefined ? [] : (identityOf(pid) ?? [])))
  writePrivateFile(pathOf(dir), `${JSON.stringify({ owner, stopping, children: identities })}\n`)
}

export function removeRecord(dir: DataDir): void {
  rmSync(pathOf(dir), { force: true })
}

/** True when an earlier quickstart has left processes that are about to end. */
export function hasLeftovers(dir: DataDir): boolean {
  return leftovers(readRecord(dir)).length > 0
}

export async function waitForLeftovers(dir: DataDir, signal: AbortSignal): Promise<void> {
  const record = readRecord(dir)
  if (record?.stopping) while (isRunning(record.owner)) await sleep(LOOK_EVERY_MS, undefined, { signal })
  for (const child of leftovers(record)) {
    const byItself = AbortSignal.any([signal, AbortSignal.timeout(ORPHAN_GRACE_MS)])
    while (isRunning(child) && !byItself.aborted) await sleep(LOOK_EVERY_MS)
    signal.throwIfAborted()
    await endProcess(child, 'SIGTERM', ORPHAN_GRACE_MS)
  }
  removeRecord(dir)
}

/** A quickstart that lives and does not stop keeps what it has. */
function leftovers(record: QuickstartRecord | undefined): ProcessIdentity[] {
  if (!record || (isRunning(record.owner) && !record.stopping)) return []
  return [record.owner, ...record.children].filter(isRunning)
}

function readRecord(dir: DataDir): QuickstartRecord | undefined {
  try {
    return recordSchema.parse(JSON.parse(readFileIfAny(pathOf(dir)) ?? ''))
  } catch {
    return undefined
  }
}
