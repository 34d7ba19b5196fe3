import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { makePrivateFolder, readFileIfAny, writePrivateFile } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import { endProcess, identityOf, isRunning, type ProcessIdentity } from '@sc/shared/processes.ts'
import { z } from 'zod'

/** One master at a time runs the server of a data folder; what a killed one left running is ended by the next. */
export interface Claim {
  /** Writes down the server process, for whoever comes after us. */
  record(server: ProcessIdentity): void
  release(): void
}

const identitySchema = z.object({ pid: z.number().int().positive(), startedAt: z.string() })
const fileSchema = z.object({ owner: identitySchema, server: identitySchema.optional() })

/** SC_CONFIG when a running master owns the folder. Resolves once nothing of an earlier one runs any more. */
export async function claimFolder(
  folder: string,
  stop: { signal: NodeJS.Signals; graceMs: number },
  onEnded: (server: ProcessIdentity) => void
): Promise<Claim> {
  const path = join(folder, 'owner.json')
  makePrivateFolder(folder)
  const owner = identityOf(process.pid)
  if (!owner) throw new ScError('SC_INTERNAL', 'the system does not show this process its own start')
  while (!create(path, JSON.stringify({ owner }))) {
    const before = parse(readFileIfAny(path))
    if (before && isRunning(before.owner))
      throw new ScError(
        'SC_CONFIG',
        `The data folder ${join(folder, '..')} is in use by process ${before.owner.pid}. Stop that master, or give this one another SC_DATA_DIR.`
      )
    if (before?.server && isRunning(before.server)) {
      onEnded(before.server)
      await endProcess(before.server, stop.signal, stop.graceMs)
    }
    rmSync(path, { force: true })
  }
  return {
    record: server => writePrivateFile(path, JSON.stringify({ owner, server })),
    release: () => rmSync(path, { force: true })
  }
}

function create(path: string, text: string): boolean {
  try {
    const file = openSync(path, 'wx', 0o600)
    try {
      writeSync(file, text)
    } finally {
      closeSync(file)
    }
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

/** A file cut short by a crash claims nothing. */
function parse(text: string | undefined): z.infer<typeof fileSchema> | undefined {
  try {
    return text ? fileSchema.parse(JSON.parse(text)) : undefined
  } catch {
    return undefined
  }
}
