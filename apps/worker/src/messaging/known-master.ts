import { join } from 'node:path'
import { readFileIfAny, writePrivateFile } from '@sc/shared/data-dir.ts'
import { z } from 'zod'

/** The master as it named itself last, kept beside the worker's identity: `sc-worker doctor` looks there. */
const knownMasterSchema = z.object({ protocol: z.number().int(), version: z.string(), httpUrl: z.string() })
export type KnownMaster = z.infer<typeof knownMasterSchema>

const fileIn = (workerDir: string): string => join(workerDir, 'master.json')

export function readKnownMaster(workerDir: string): KnownMaster | undefined {
  try {
    return knownMasterSchema.parse(JSON.parse(readFileIfAny(fileIn(workerDir)) ?? ''))
  } catch {
    return undefined
  }
}

export function writeKnownMaster(workerDir: string, { protocol, version, httpUrl }: KnownMaster): void {
  writePrivateFile(fileIn(workerDir), `${JSON.stringify({ protocol, version, httpUrl })}\n`)
}
