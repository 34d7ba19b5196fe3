import { join } from 'node:path'
import { readFileIfAny, writePrivateFile } from '@sc/shared/data-dir.ts'
import { z } from 'zod'

const identitySchema = z.object({
  workerId: z.string(),
  /** Opens the master's blob route. */
  key: z.string(),
  /** The broker that was given by flag or environment; absent for the master of this machine. */
  broker: z.string().optional(),
  /** Of its own Redis user, named as `workerId`; absent: the login is in `broker`. */
  secret: z.string().optional()
})
export type Identity = z.infer<typeof identitySchema>

const fileIn = (workerDir: string): string => join(workerDir, 'identity.json')

/** Who this worker was at its last start, if it was enrolled then. */
export function readIdentity(workerDir: string): Identity | undefined {
  const text = readFileIfAny(fileIn(workerDir))
  if (text === undefined) return undefined
  try {
    return identitySchema.parse(JSON.parse(text))
  } catch {
    // A file that cannot be read is as good as none: the worker is enrolled anew.
    return undefined
  }
}

export function writeIdentity(workerDir: string, identity: Identity): void {
  writePrivateFile(fileIn(workerDir), `${JSON.stringify(identity)}\n`)
}
