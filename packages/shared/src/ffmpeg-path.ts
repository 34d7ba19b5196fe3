import { execFile } from 'node:child_process'
import { globSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import { searchPath as pathOfProcess, REPO_DIR } from './config.ts'
import { ScError } from './errors.ts'

const PACKAGED = [
  'lib/python3*/site-packages/imageio_ffmpeg/binaries/ffmpeg-*',
  'Lib/site-packages/imageio_ffmpeg/binaries/ffmpeg-*.exe'
]

/**
 * The ffmpeg to use: the one on `searchPath` (PATH), else the one in the project's Python environment (`pythonEnv`,
 * `.venv` of the checkout). Throws SC_CONFIG when there is none that starts.
 */
export async function findFfmpeg({
  searchPath = pathOfProcess(),
  pythonEnv = join(REPO_DIR, '.venv')
}: {
  searchPath?: string
  pythonEnv?: string
} = {}): Promise<string> {
  const name = process.platform === 'win32' ? 'ffmpeg.exe' : 'ffmpeg'
  const onPath = searchPath.split(delimiter).filter(Boolean)
  const packaged = globSync(PACKAGED, { cwd: pythonEnv })
  const candidates = [...onPath.map(folder => join(folder, name)), ...packaged.map(path => join(pythonEnv, path))]
  for (const path of candidates) if (await starts(path)) return path
  const where = 'neither on PATH nor in the Python environment'
  throw new ScError(
    'SC_CONFIG',
    `There is no ffmpeg that starts, ${where}. Run \`npm run quickstart\`, or install ffmpeg.`
  )
}

async function starts(path: string): Promise<boolean> {
  try {
    await promisify(execFile)(path, ['-nostdin', '-hide_banner', '-version'], { timeout: 10_000 })
    return true
  } catch {
    return false
  }
}
