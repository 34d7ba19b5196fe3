import { createHash } from 'node:crypto'
import { basename } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { REPO_DIR } from '@sc/shared/config.ts'
import { create } from 'tar'

/** All that another machine needs of this project to be a worker, as a `.tar.gz` of some hundred kB. */
export interface PackedWorker {
  bytes: Buffer
  sha256: string
}

/** What a worker is made of. The rest comes from package managers, by lock files that are among these. */
const PARTS = [
  'LICENSE',
  'package.json',
  'pnpm-lock.yaml',
  'pnpm-workspace.yaml',
  'sc-worker',
  'sc-worker.cmd',
  'bootstrap',
  'apps/worker',
  'packages/shared',
  'python-gpu'
]
const LEFT_OUT = new Set(['node_modules', 'test', 'tests', '__pycache__'])

/** Packs this very installation, at the first call: worker and master are of one version. */
export function createPackedWorker(root: string = REPO_DIR): () => Promise<PackedWorker> {
  let packed: Promise<PackedWorker> | undefined
  return () => {
    packed ??= pack(root)
    packed.catch(() => {
      packed = undefined
    })
    return packed
  }
}

async function pack(root: string): Promise<PackedWorker> {
  // `portable` and one time for all: the same files give the same bytes.
  const options = { cwd: root, gzip: true, portable: true, mtime: new Date(0), filter: isPart }
  const archive = create(options, PARTS)
  // It tells one error for each file; `buffer` hears the first.
  archive.on('error', () => {})
  const bytes = await buffer(archive)
  return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') }
}

function isPart(path: string): boolean {
  return !LEFT_OUT.has(basename(path)) && !basename(path).startsWith('.')
}
