import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where the bootstrap puts things. Runs on Node 20 with nothing installed. */
export const REPO = dirname(dirname(fileURLToPath(import.meta.url)))
export const CACHE = join(REPO, '.cache')
export const VENV = join(REPO, '.venv')
export const VENV_PYTHON = join(VENV, 'bin/python')
/** The current Node, from the packages; a link beside it in `.bin` is a shell script that signals do not pass. */
export const NODE = join(REPO, 'node_modules/node/bin/node')
export const MODELS = process.env.SC_MODELS_DIR || join(CACHE, 'models')

/** Files below `.venv/lib/python3.x/site-packages`. */
export function inSitePackages(folder) {
  const lib = join(VENV, 'lib')
  for (const version of list(lib).filter(name => name.startsWith('python3'))) {
    const path = join(lib, version, 'site-packages', folder)
    const names = list(path)
    if (names.length > 0) return names.map(name => join(path, name))
  }
  return []
}

function list(folder) {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
