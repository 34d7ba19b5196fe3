import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addEntries, closeQueue, openQueue } from '@sc/shared/queues.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { outboxKey, presenceKey } from '@sc/shared/redis-keys.ts'
import { type OutboxMessage, outboxMessageSchema } from '@sc/shared/unit.ts'
import { afterAll, expect, test } from 'vitest'
import { z } from 'zod'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import { createSlotPlanner } from '../../src/probe/slot-plan.ts'
import { startWorker } from '../../src/worker.ts'
import { fixture, quiet, until } from '../fixtures/children.ts'
import { taskFile, writeTasks } from './write-tasks.ts'

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
const cpu = openQueue(redis, 'cpu')
afterAll(async () => {
  await closeQueue(cpu)
  await closeRedis(redis)
  await server.stop()
})

async function said<T extends OutboxMessage['type']>(type: T): Promise<Array<Extract<OutboxMessage, { type: T }>>> {
  const entries = await redis.xrange(outboxKey('w'), '-', '+')
  const messages = entries.flatMap(([, fields]) => z.array(outboxMessageSchema).parse(JSON.parse(fields[1] as string)))
  return messages.filter((message): message is Extract<OutboxMessage, { type: T }> => message.type === type)
}

async function first<T extends OutboxMessage['type']>(type: T) {
  await until(async () => (await said(type)).length > 0)
  return (await said(type))[0] as Extract<OutboxMessage, { type: T }>
}

async function send(unitId: string, task: string): Promise<void> {
  const unit = { unitId, jobId: 'j', task, index: 0, inputRef: null, params: { text: 'ab' }, deadline: 60_000 }
  await addEntries(cpu, [unit], { jobIds: [`${unitId}-1`] })
}

test('a worker runs the tasks of its folder, and registers them: at first, and when files have changed', async () => {
  const tasksDir = writeTasks({
    'turn.ts': taskFile('turn', `log.warn('turns', { at: 1 }); return { text: [...text].reverse().join('') }`),
    'exit.ts': taskFile('exit', 'process.exit(1)')
  })
  const worker = await startWorker({
    name: 'w',
    identity: { workerId: 'w', key: 'secret' },
    brokerUrl: server.url,
    redis,
    workerDir: mkdtempSync(join(tmpdir(), 'sc-worker-')),
    planner: createSlotPlanner([], { concurrency: 2 }),
    python: fixture('well_behaved'),
    modelsDir: '/nowhere',
    tasksDir,
    masterUrl: undefined,
    log: quiet
  })
  try {
    await send('u1', 'turn')
    expect((await first('result')).output).toEqual({ text: 'ba' })
    expect(await first('log')).toMatchObject({ level: 'warn', message: 'turns', fields: { at: 1 } })
    const ready = async () => JSON.parse((await redis.get(presenceKey('w'))) ?? '{}')
    await until(async () => (await ready()).slots?.every((slot: { state: string }) => slot.state === 'idle'))
    expect((await ready()).tasks).toEqual(expect.arrayContaining(['echo', 'turn', 'exit']))
    // Once for both slots.
    expect(await said('registered')).toHaveLength(1)
    const { tasks } = await first('registered')
    expect(tasks.filter(task => !task.builtIn).map(task => task.name)).toEqual(['exit', 'turn'])
    expect(tasks.find(task => task.name === 'turn')?.inputSchema).toMatchObject({ required: ['text'] })

    await send('u2', 'exit')
    expect(await first('error')).toMatchObject({ error: { code: 'SC_CHILD_DIED' }, retryable: true })
    rmSync(join(tasksDir, 'exit.ts'))
    writeFileSync(join(tasksDir, 'new.ts'), taskFile('new', 'return { text }'))
    await until(async () => {
      const last = (await said('registered')).at(-1)?.tasks.filter(task => !task.builtIn)
      return last?.map(task => task.name).join() === 'new,turn'
    })
  } finally {
    await worker.stop()
  }
})
