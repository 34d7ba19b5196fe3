import { z } from 'zod'
import { findTask } from '../../cluster/find-task.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { taskListSchema, taskSchema } from '../task-schemas.ts'

const tags = ['tasks']
export const taskParams = z.object({ name: z.string().max(100) })

/** What the cluster can do, as its workers registered it. */
export function addTasks(app: App, { tasks }: AppDeps): void {
  app.get('/api/tasks', {
    config: { scope: 'read', own: true },
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
    config: { scope: 'read', own: true },
    schema: {
      summary: 'One task',
      tags,
      params: taskParams,
      response: { 200: taskSchema, ...problems('SC_TASK_UNKNOWN') }
    },
    handler: async request => await findTask(tasks, request.params.name)
  })
}
