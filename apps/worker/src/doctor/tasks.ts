import { relative } from 'node:path'
import { type Config, REPO_DIR } from '@sc/shared/config.ts'
import { type Check, failed, ok, warning } from '@sc/shared/doctor/finding.ts'
import type { Logger } from '@sc/shared/log.ts'
import { filesOfModel, modelsIn } from '@sc/shared/models.ts'
import { probeGpus } from '../probe/gpus.ts'
import { pythonCommand } from '../python/command.ts'
import { wholeMachine, withSlotTasks } from '../tasks/with-slot-tasks.ts'

/** What runs units here: the Python process, the tasks folder, speech models on the disk. */
const FILES_OF_A_MODEL = ['config.json', 'model.bin']
/** What `model=auto` takes. */
const ON_GPU = ['distil-large-v3.5', 'large-v3-turbo']
const ON_CPU = ['base']

export function checkTasks({ modelsDir, tasksDir }: Config, log: Logger): Check[] {
  const python: Check = {
    name: 'python',
    look: () =>
      withSlotTasks({ slot: wholeMachine([]), modelsDir, log }, async (_tasks, ready) => {
        const versions = Object.entries(ready.versions).map(pair => pair.join(' '))
        return ok(`${versions.join(', ')}; tasks ${ready.tasks.map(task => task.name).join(', ')}`)
      }),
    next: 'Run `node bootstrap/install.mjs` in the folder of this project.'
  }
  if (!tasksDir) return [python]
  const folder: Check = {
    name: 'tasks folder',
    look: () =>
      withSlotTasks({ slot: wholeMachine([]), modelsDir, tasksDir, log }, async ({ notOffered }, ready) => {
        const { tasks, leftOut } = ready
        if (leftOut.length > 0)
          return failed(
            leftOut.map(({ file, reason }) => `${file}: ${reason}`).join('; '),
            `Correct these files in ${tasksDir}, or take them away; \`sc-worker task list\` shows what there is.`
          )
        const own = [...tasks, ...notOffered.map(({ task }) => task)].filter(task => !task.builtIn)
        return ok(own.map(task => task.name).join(', ') || 'no tasks')
      }),
    next: `Look at ${tasksDir} with \`sc-worker task list\`.`
  }
  return [python, folder]
}

export function checkModels({ modelsDir, defaultModel }: Config): Check[] {
  return [
    {
      name: 'models',
      look: async () => {
        const models = await modelsIn(modelsDir)
        const incomplete = []
        for (const { name } of models) {
          const files = (await filesOfModel(modelsDir, name)).map(({ file }) => file)
          if (!FILES_OF_A_MODEL.every(file => files.includes(file))) incomplete.push(name)
        }
        const shown = models.map(({ name, sizeBytes }) => `${name} ${Math.ceil(sizeBytes / 1024 ** 2)} MB`).join(', ')
        const found = shown || `none in ${modelsDir}`
        if (incomplete.length > 0)
          return failed(
            `${found}; without config.json: ${incomplete.join(', ')}`,
            `Take away the folder of each of these in ${modelsDir}: it is fetched anew.`
          )
        const wanted = defaultModel ? [defaultModel] : (await probeGpus()).length > 0 ? ON_GPU : ON_CPU
        const lacking = wanted.filter(name => !models.some(model => model.name === name))
        if (lacking.length === 0) return ok(found)
        return warning(
          `${found}; not here: ${lacking.join(', ')}`,
          `The first unit that needs one waits until it has come from the master, or from the hub. To have it now: \`${relative(REPO_DIR, pythonCommand().file)} python-gpu/main.py fetch-model ${lacking[0]} --models-dir ${modelsDir}\`.`
        )
      },
      next: `Look whether ${modelsDir} can be read.`
    }
  ]
}
