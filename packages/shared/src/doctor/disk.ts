import { stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'
import { askDisk } from '../ask-disk.ts'
import type { Config } from '../config.ts'
import { type Check, failed, type Outcome, ok, warning } from './finding.ts'

const GIB = 1024 ** 3
const LITTLE_BYTES = 5 * GIB
const LEAST_BYTES = GIB

/** Of the data folder and of the models folder, which may be on other disks. */
export function checkDisk({ dataDir, modelsDir }: Pick<Config, 'dataDir' | 'modelsDir'>): Check[] {
  return [...new Set([dataDir, modelsDir])].map(folder => ({
    name: `disk of ${folder}`,
    look: async () => diskOutcome(await askDisk('free room', folder, () => freeBytes(folder))),
    next: `Look whether ${folder} can be read.`
  }))
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(await nearestThere(folder))
  return bavail * bsize
}

export function diskOutcome(freeBytes: number): Outcome {
  const found = `${(freeBytes / GIB).toFixed(1)} GB free`
  const next = 'Make room there, or name other folders by SC_DATA_DIR and SC_MODELS_DIR: a large model takes 3 GB.'
  if (freeBytes < LEAST_BYTES) return failed(found, next)
  return freeBytes < LITTLE_BYTES ? warning(found, next) : ok(found)
}

/** A folder that is made at the first start is on the disk of the one above it. */
async function nearestThere(folder: string): Promise<string> {
  const isThere = await stat(folder).then(
    () => true,
    () => false
  )
  return isThere || dirname(folder) === folder ? folder : nearestThere(dirname(folder))
}
