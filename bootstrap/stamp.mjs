import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CACHE, REPO } from './paths.mjs'

/** A step is up to date while everything it was made from has the content that it had then. */
export function fingerprint(files, ...words) {
  const hash = createHash('sha256')
  for (const file of files) hash.update(`${file}\n`).update(readFileSync(join(REPO, file)))
  return hash.update(JSON.stringify(words)).digest('hex')
}

export function isStamped(step, print) {
  try {
    return readFileSync(join(CACHE, `${step}.stamp`), 'utf8') === print
  } catch {
    return false
  }
}

export function stamp(step, print) {
  mkdirSync(CACHE, { recursive: true })
  writeFileSync(join(CACHE, `${step}.stamp`), print)
}
