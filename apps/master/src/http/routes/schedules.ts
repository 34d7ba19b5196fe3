import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import { checkTask } from '../../jobs/check-task.ts'
import { deleteSchedule, findSchedule, insertSchedule, listSchedules } from '../../jobs/schedule-rows.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { callerOf } from '../auth.ts'
import { problems } from '../problem.ts'
import { scheduleListSchema, scheduleRequestSchema, scheduleSchema } from '../schedule-schemas.ts'
import { MOST_BODY_BYTES, timeoutMsOf } from '../task-schemas.ts'
import { ownerOf } from '../visible.ts'

const tags = ['schedules']
const params = z.object({ scheduleId: z.string().max(100) })

/** Tasks that are run again and again, by the clock. */
export function addSchedules(app: App, { config, db, tasks, checkInput }: AppDeps): void {
  app.post('/api/schedules', {
    config: { scope: 'submit' },
    bodyLimit: Math.min(MOST_BODY_BYTES, config.maxInputBytes),
    schema: {
      summary: 'Run a task again and again',
      description:
        'Task and input are checked now as `POST /api/tasks/{name}` does, and again each time. A time that is skipped when clocks go forward comes as much later as they go, mostly an hour, one that is there twice when they go back comes once. Times that were missed while no master ran are made up for by one job. `overlap` says what happens while the job before has not ended.',
      tags,
      body: scheduleRequestSchema,
      response: {
        201: scheduleSchema,
        ...problems(
          'SC_TASK_UNKNOWN',
          'SC_TASK_INPUT',
          'SC_TASK_UNFIT',
          'SC_TASK_INPUT_COSTLY',
          'SC_OVERLOADED',
          'SC_SCHEDULE_NEVER',
          'SC_TOO_MANY_SCHEDULES',
          'SC_FILE_TOO_LARGE'
        )
      }
    },
    handler: async (request, reply) => {
      const { name = null, cron, timezone, overlap, priority, attempts, ...called } = request.body
      const { keyId } = callerOf(request)
      const text = JSON.stringify(called.input) ?? '{}'
      called.input = undefined
      request.body.input = undefined
      const asker = { keyId, signal: () => app.whileAllowed(request, reply) }
      const { task, input } = await checkTask({ tasks, checkInput }, called.task, text, asker)
      const timeoutMs = timeoutMsOf(called.timeoutSeconds)
      const waitTimeoutMs = timeoutMsOf(called.waitTimeoutSeconds)
      const how = { priority, attempts, timeoutMs, waitTimeoutMs, keyId }
      const schedule = await insertSchedule(db, { name, task, input, cron, timezone, overlap, ...how })
      return reply.status(201).header('location', `/api/schedules/${schedule.scheduleId}`).send(schedule)
    }
  })

  app.get('/api/schedules', {
    config: { scope: 'read', own: true },
    schema: { summary: 'Schedules, oldest first', tags, response: { 200: scheduleListSchema, ...problems() } },
    handler: async request => ({ items: await listSchedules(db, ownerOf(request)), nextCursor: null })
  })

  app.get('/api/schedules/:scheduleId', {
    config: { scope: 'read', own: true },
    schema: { summary: 'One schedule', tags, params, response: { 200: scheduleSchema, ...problems('SC_NOT_FOUND') } },
    handler: async request => {
      const { scheduleId } = request.params
      return (await findSchedule(db, scheduleId)) ?? notFound(scheduleId)
    }
  })

  app.delete('/api/schedules/:scheduleId', {
    config: { scope: 'submit' },
    schema: {
      summary: 'End a schedule',
      description: 'Jobs that it has submitted go on.',
      tags,
      params,
      response: { 204: z.null().describe('It is gone'), ...problems('SC_NOT_FOUND') }
    },
    handler: async (request, reply) => {
      const { scheduleId } = request.params
      if (!(await deleteSchedule(db, scheduleId))) notFound(scheduleId)
      return reply.status(204).send(null)
    }
  })
}

function notFound(scheduleId: string): never {
  throw new ScError('SC_NOT_FOUND', `There is no schedule "${scheduleId}".`)
}
