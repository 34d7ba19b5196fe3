import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { afterAll, expect, test } from 'vitest'
import { until } from '../fixtures/children.ts'
import { openCluster, unit } from '../fixtures/open-cluster.ts'
import { taskFile, writeTasks } from './write-tasks.ts'

const { start, send, written, seen, stopWorkers, close } = await openCluster()
afterAll(close)

async function said<T extends OutboxMessage['type']>(type: T): Promise<Array<Extract<OutboxMessage, { type: T }>>> {
  return (await written()).filter((message): message is Extract<typeof message, { type: T }> => message.type === type)
}

async function first<T extends OutboxMessage['type']>(type: T) {
  await until(async () => (await said(type)).length > 0)
  return (await said(type))[0] as Extract<OutboxMessage, { type: T }>
}

/** As a master does: an entry that comes back is given again. */
async function run(queue: string, task: string) {
  for (let time = 0; ; time++) {
    const unitId = `${task}-${time}`
    send(queue, [unit(unitId, task, { text: 'ab' })])
    let outcome: OutboxMessage | undefined
    await until(async () => {
      outcome = (await written()).find(
        one => 'unitId' in one && one.unitId === unitId && ['result', 'error', 'returned'].includes(one.type)
      )
      return outcome !== undefined
    })
    if (outcome?.type !== 'returned') return outcome
  }
}

test('a worker runs the tasks of its folder, and registers them: at first, and when files have changed', async () => {
  const tasksDir = writeTasks({
    'turn.ts': taskFile('turn', `log.warn('turns', { at: 1 }); return { text: [...text].reverse().join('') }`),
    'large.ts': taskFile('large', 'return { text }', 'requires: { gpu: true, vramGb: 20 },'),
    'exit.ts': taskFile('exit', 'process.kill(process.pid, "SIGKILL")', 'retryCrashes: false,')
  })
  await start({ concurrency: 2 }, { tasksDir })
  try {
    expect(await run('cpu', 'turn')).toMatchObject({ type: 'result', output: { text: 'ba' } })
    expect(await first('log')).toMatchObject({ level: 'warn', message: 'turns', fields: { at: 1 } })
    const ready = await seen(({ slots }) => slots.length === 2 && slots.every(({ state }) => state === 'idle'))
    expect(ready.tasks).toEqual(expect.arrayContaining(['echo', 'turn', 'exit']))
    // Once for both slots.
    expect(await said('registered')).toHaveLength(1)
    const { tasks, lacking, classes } = await first('registered')
    expect(lacking?.map(({ name, lack }) => [name, lack])).toEqual([['large', 'it needs a GPU with 20 GB']])
    expect(classes).toEqual(['cpu'])
    expect(tasks.filter(task => !task.builtIn).map(task => task.name)).toEqual(['exit', 'turn'])
    expect(tasks.find(task => task.name === 'exit')?.retryCrashes).toBe(false)
    expect(tasks.find(task => task.name === 'turn')?.inputSchema).toMatchObject({ required: ['text'] })

    expect(await run('cpu', 'exit')).toMatchObject({ type: 'error', error: { code: 'SC_CHILD_DIED' }, retryable: true })
    rmSync(join(tasksDir, 'exit.ts'))
    writeFileSync(join(tasksDir, 'new.ts'), taskFile('new', 'return { text }'))
    // Slots that wait for units take up what is new.
    await until(async () => {
      const last = (await said('registered')).at(-1)?.tasks.filter(task => !task.builtIn)
      return last?.map(task => task.name).join() === 'new,turn'
    })
    await seen(({ queues }) => queues.join(' ') === 'cpu+new cpu+turn cpu')
    expect(await run('cpu+new', 'new')).toMatchObject({ type: 'result' })
  } finally {
    await stopWorkers()
  }
})
