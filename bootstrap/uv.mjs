import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { CACHE, program, programsOf, pythonOf } from './paths.mjs'
import { run, tryRun } from './run.mjs'

const REQUIREMENTS = 'bootstrap/requirements-uv.txt'
const HOME = join(CACHE, 'uv')
const PIP_FLAGS = ['install', '--quiet', '--disable-pip-version-check', '--require-hashes', '-r', REQUIREMENTS]
const OLDEST = [0, 5]

/**
 * The program that makes the Python environment: on PATH, or from the package index by whatever pip there is. Debian
 * and Ubuntu ship a Python without pip and venv; their package manager has pip as a file that needs no installation.
 */
export async function findUv(python, say) {
  for (const candidate of ['uv', ...uvIn(HOME)]) if (await isNewEnough(candidate)) return candidate
  say('getting uv')
  const ways = process.platform === 'linux' ? [byPip, byVenv, byDebianPip] : [byPip, byVenv]
  const failures = []
  for (const way of ways) {
    // pip leaves alone what it finds in its target, such as half an environment.
    rmSync(HOME, { recursive: true, force: true })
    try {
      await way(python, say)
      for (const uv of uvIn(HOME)) if (await isNewEnough(uv)) return uv
    } catch (error) {
      failures.push(error)
    }
  }
  throw Object.assign(
    new Error(`Python at ${python} has neither pip nor venv, or they could not get the package uv.`),
    {
      output: failures.map(failure => `${failure.message}\n${lastLines(failure.output)}`).join('\n'),
      advice: [
        'Debian, Ubuntu: sudo apt-get install python3-venv',
        'Fedora: sudo dnf install python3-pip',
        'Windows: winget install astral-sh.uv, then open a new terminal',
        'Others: install pip or uv, and run this again.'
      ]
    }
  )
}

/** Where pip puts it: below `bin` with --target, on Windows too, else where an environment has its programs. */
export function uvIn(folder, platform = process.platform) {
  const folders = [...new Set([join(folder, 'bin'), programsOf(folder, platform)])]
  return folders.map(programs => join(programs, program('uv', platform)))
}

function lastLines(output = '') {
  return output.trim().split('\n').slice(-3).join('\n')
}

async function isNewEnough(uv) {
  const version = (await tryRun(uv, ['--version']))?.match(/^uv (\d+)\.(\d+)/)
  return version ? Number(version[1]) > OLDEST[0] || Number(version[2]) >= OLDEST[1] : false
}

async function byPip(python) {
  await run(python, ['-m', 'pip', ...PIP_FLAGS, '--target', HOME])
}

async function byVenv(python) {
  await run(python, ['-m', 'venv', '--clear', HOME])
  await run(pythonOf(HOME), ['-m', 'pip', ...PIP_FLAGS])
}

async function byDebianPip(python, say) {
  const folder = join(CACHE, 'debian-pip')
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const download = () => run('apt-get', ['download', '-q', 'python3-pip-whl'], { cwd: folder })
  await download().catch(async error => {
    // A fresh container has no package lists; only root may get them.
    if (process.getuid?.() !== 0) throw error
    await run('apt-get', ['update', '-q'], { onLine: say })
    await download()
  })
  const [archive] = readdirSync(folder).filter(name => name.endsWith('.deb'))
  await run('dpkg-deb', ['-x', join(folder, String(archive)), folder])
  const wheels = join(folder, 'usr/share/python-wheels')
  const [wheel] = readdirSync(wheels).filter(name => name.startsWith('pip-'))
  await run(python, [join(wheels, String(wheel), 'pip'), ...PIP_FLAGS, '--target', HOME])
  rmSync(folder, { recursive: true, force: true })
}
