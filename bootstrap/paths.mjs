import { readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Where the bootstrap puts things. Runs on Node 20 with nothing installed. */
export const REPO = dirname(dirname(fileURLToPath(import.meta.url)))
export const CACHE = join(REPO, '.cache')
export const VENV = join(REPO, '.venv')
export const VENV_PYTHON = pythonOf(VENV)
/** The current Node, from the packages; a link beside it in `.bin` is a shell script that signals do not pass. */
export const NODE = join(REPO, 'node_modules/node/bin', program('node'))
export const MODELS = process.env.SC_MODELS_DIR || join(CACHE, 'models')

export function program(name, platform = process.platform) {
  return platform === 'win32' ? `${name}.exe` : name
}

/** The folder of a Python environment in which its programs lie. */
export function programsOf(environment, platform = process.platform) {
  return join(environment, platform === 'win32' ? 'Scripts' : 'bin')
}

export function pythonOf(environment, platform = process.platform) {
  return join(programsOf(environment, platform), program('python', platform))
}

/** Files below `site-packages` of a Python environment. */
export function inSitePackages(folder, environment = VENV, platform = process.platform) {
  for (const packages of sitePackages(environment, platform)) {
    const path = join(packages, folder)
    const names = list(path)
    if (names.length > 0) return names.map(name => join(path, name))
  }
  return []
}

function sitePackages(environment, platform) {
  if (platform === 'win32') return [join(environment, 'Lib/site-packages')]
  const lib = join(environment, 'lib')
  const versions = list(lib).filter(name => name.startsWith('python3'))
  return versions.map(version => join(lib, version, 'site-packages'))
}

function list(folder) {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}
