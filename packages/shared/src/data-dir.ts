import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync
} from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'

/** Where things lie in `SC_DATA_DIR`. */
export interface DataDir {
  readonly root: string
  readonly adminKey: string
  readonly master: string
  readonly redis: string
  readonly postgres: string
  readonly blobs: string
  readonly spool: string
  /** What master and worker of the quickstart print. */
  readonly logs: string
  worker(name: string): string
}

export function dataDir(root: string): DataDir {
  return {
    root,
    adminKey: join(root, 'admin.key'),
    master: join(root, 'master.json'),
    redis: join(root, 'redis'),
    postgres: join(root, 'postgres'),
    blobs: join(root, 'blobs'),
    spool: join(root, 'spool'),
    logs: join(root, 'logs'),
    worker: name => join(root, 'workers', name)
  }
}

/** Makes a folder that only its owner may enter. */
export function makePrivateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
}

/** Replaces a file at once and for its owner's eyes only: a reader sees the old or the new text, also after a power cut. */
export function writePrivateFile(path: string, text: string): void {
  makePrivateFolder(dirname(path))
  const temporary = `${path}.${process.pid}.${randomBytes(4).toString('hex')}`
  const file = openSync(temporary, 'wx', 0o600)
  try {
    writeSync(file, text)
    fsyncSync(file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  } finally {
    closeSync(file)
  }
  renameSync(temporary, path)
}

/** The text of a file, or undefined where there is none. */
export function readFileIfAny(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** The admin key, made at first start. `fixed` (from the configuration) wins and is written down for the CLI of this machine. */
export function loadAdminKey(dir: DataDir, fixed?: string): string {
  const kept = readFileIfAny(dir.adminKey)?.trim()
  const key = fixed || kept || `sc_${randomBytes(24).toString('base64url')}`
  if (key !== kept) writePrivateFile(dir.adminKey, `${key}\n`)
  else chmodSync(dir.adminKey, 0o600)
  return key
}

const masterFileSchema = z.object({
  redisUrl: z.string(),
  httpUrl: z.string(),
  pid: z.number().int(),
  /** One-time link into the web app. */
  loginUrl: z.string().optional()
})
/** What a worker or the CLI on this machine needs to find the running master. */
export type MasterFile = z.infer<typeof masterFileSchema>

export function writeMasterFile(dir: DataDir, content: MasterFile): void {
  writePrivateFile(dir.master, `${JSON.stringify(content)}\n`)
}

/** The running master's addresses, or undefined when none has started here (or left no readable file). */
export function readMasterFile(dir: DataDir): MasterFile | undefined {
  const text = readFileIfAny(dir.master)
  if (text === undefined) return undefined
  try {
    return masterFileSchema.parse(JSON.parse(text))
  } catch {
    return undefined
  }
}

export function removeMasterFile(dir: DataDir): void {
  rmSync(dir.master, { force: true })
}
