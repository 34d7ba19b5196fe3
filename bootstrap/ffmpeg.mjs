import { basename } from 'node:path'
import { inSitePackages } from './paths.mjs'
import { run, tryRun } from './run.mjs'

/** On PATH, else the one that came with the Python packages; nothing to install, but better told now than at an upload. */
export const ffmpeg = {
  title: 'ffmpeg',
  advice: [
    'Install ffmpeg (sudo apt-get install ffmpeg, brew install ffmpeg, winget install Gyan.FFmpeg) and run this again.'
  ],
  isCurrent: async () => {
    for (const path of ['ffmpeg', ...packaged()]) if ((await tryRun(path, ['-version'])) !== undefined) return true
    return false
  },
  async run() {
    const [path] = packaged()
    if (!path) throw new Error('There is no ffmpeg on PATH and none among the Python packages.')
    await run(path, ['-version'])
  }
}

function packaged() {
  return inSitePackages('imageio_ffmpeg/binaries').filter(path => basename(path).startsWith('ffmpeg-'))
}
