import { expect, it } from 'vitest'
import { findTask } from '../../src/cluster/find-task.ts'
import type { RegisteredTask, TaskRegistry } from '../../src/cluster/task-registry.ts'

function registry(names: string[], leftOut: string[]): TaskRegistry {
  const list = names.map(name => ({ name }) as RegisteredTask)
  return { list: async () => list, find: async () => undefined, refused: async () => [], leftOut: () => leftOut }
}

it('a task that is unknown, while workers leave files out, is refused with those and their reasons', async () => {
  const reason = 'count.py of desk: No module named torch'
  await expect(findTask(registry(['word-count'], [reason]), 'other')).rejects.toMatchObject({
    code: 'SC_TASK_UNKNOWN',
    message: `There is no task "other". There are: word-count. Workers leave files of their tasks folders out: ${reason}`
  })
  await expect(findTask(registry(['word-count'], [reason]), 'word-cout')).rejects.toMatchObject({
    message: `There is no task "word-cout". Did you mean word-count? Workers leave files of their tasks folders out: ${reason}`
  })
  await expect(findTask(registry(['word-count'], []), 'word-cout')).rejects.toMatchObject({
    message: 'There is no task "word-cout". Did you mean word-count?'
  })
})
