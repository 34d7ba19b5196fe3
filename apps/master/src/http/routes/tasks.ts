import { ScError } from '@sc/shared/errors.ts'
import { nearNames } from '@sc/shared/near-names.ts'
import { z } from 'zod'
import { isStepOfTranscription, type RegisteredTask, type TaskRegistry } from '../../cluster/task-registry.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { taskListSchema, taskSchema } from '../task-schemas.ts'

const tags = ['tasks']
export const taskParams = z.object({ name: z.string().max(100) })

/** What the cluster can do, as its workers registered it. */
export function addTasks(app: App, { tasks }: AppDeps): void {
  app.get('/api/tasks', {
    config: { scope: 'read' },
    schema: {
      summary: 'Tasks that can be posted, with their schemas and their workers',
      description:
        'Every task that a worker has registered, also one whose workers are all off: its jobs wait. The steps of a transcription are not here, since they need files that only the master makes: send recordings to `POST /transcribe`.',
      tags,
      response: { 200: taskListSchema, ...problems() }
    },
    handler: async () => ({ items: await tasks.list(), nextCursor: null })
  })

  app.get('/api/tasks/:name', {
    config: { scope: 'read' },
    schema: {
      summary: 'One task',
      tags,
      params: taskParams,
      response: { 200: taskSchema, ...problems('SC_TASK_UNKNOWN') }
    },
    handler: async request => await findTask(tasks, request.params.name)
  })
}

/** SC_TASK_UNKNOWN, with the names that are near. */
export async function findTask(tasks: TaskRegistry, name: string): Promise<RegisteredTask> {
  const task = await tasks.find(name)
  if (task) return task
  if (name === 'transcribe' || isStepOfTranscription(name))
    throw new ScError('SC_TASK_UNKNOWN', `"${name}" is not a task of its own: send the recording to POST /transcribe.`)
  const names = (await tasks.list()).map(known => known.name)
  const near = nearNames(name, names, Math.max(2, Math.floor(name.length / 3)))
  const known = names.length > 0 ? `There are: ${names.slice(0, 20).join(', ')}` : 'No worker has registered a task yet'
  const hint = near.length > 0 ? `Did you mean ${near.slice(0, 3).join(' or ')}?` : `${known}.`
  throw new ScError('SC_TASK_UNKNOWN', `There is no task "${name}". ${hint}`)
}
