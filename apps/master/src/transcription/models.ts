import { readdir } from 'node:fs/promises'

/** What faster-whisper knows by name, in the order of its own list. */
const NAMES = [
  'tiny.en',
  'tiny',
  'base.en',
  'base',
  'small.en',
  'small',
  'medium.en',
  'medium',
  'large-v1',
  'large-v2',
  'large-v3',
  'large',
  'distil-large-v2',
  'distil-medium.en',
  'distil-small.en',
  'distil-large-v3',
  'distil-large-v3.5',
  'large-v3-turbo',
  'turbo'
]

/** The known names, then the folders of `modelsDir` (read each time: a model may be added while the master runs). */
export async function knownModels(modelsDir: string): Promise<string[]> {
  const entries = await readdir(modelsDir, { withFileTypes: true }).catch(() => [])
  const folders = entries.filter(entry => entry.isDirectory() && !entry.name.startsWith('.')).map(entry => entry.name)
  return [...new Set([...NAMES, ...folders.sort()])]
}
