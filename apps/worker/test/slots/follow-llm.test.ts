import { outboxKey } from '@sc/shared/redis-keys.ts'
import type { OutboxMessage } from '@sc/shared/unit.ts'
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest'
import { until } from '../fixtures/children.ts'
import { type LlmServer, startLlmServer } from '../fixtures/llm-server.ts'
import { openCluster, unit } from '../fixtures/open-cluster.ts'
import { taskFile, writeTasks } from '../tasks/write-tasks.ts'

const { redis, start, send, seen, heard, stopWorkers, close } = await openCluster()
const tasksDir = writeTasks({
  'chat.ts': taskFile('chat', 'return { text: "llm: " + text }', `requires: { features: ['llm'] },`),
  'turn.ts': taskFile('turn', 'return { text: "cpu: " + text }'),
  'ask.ts': taskFile('ask', 'return { text }', `requires: { features: ['ollama'] },`)
})
let server: LlmServer | undefined
afterAll(close)
beforeEach(() => redis.flushall())
afterEach(async () => {
  await stopWorkers()
  await server?.stop()
  vi.unstubAllEnvs()
})

const queuesAre = (queues: string) => seen(presence => presence.queues.join(' ') === queues)
const own = async () => {
  const messages = (await redis.xrange(outboxKey('w'), '-', '+')).flatMap(([, fields]): OutboxMessage[] =>
    JSON.parse(fields[1] as string)
  )
  const last = messages.findLast(message => message.type === 'registered')
  return last?.tasks.filter(task => !task.builtIn).map(task => task.name)
}

test('a slot for the LLM server comes and goes with it, and with it the tasks that ask for one', async () => {
  // An address that nobody listens on until it is wanted, and no program of that name.
  server = await startLlmServer()
  const { host } = server
  const port = Number(host.split(':')[1])
  await server.stop()
  vi.stubEnv('OLLAMA_HOST', host)
  await start({}, { tasksDir })
  await queuesAre('cpu+turn cpu')

  server = await startLlmServer(undefined, port)
  const there = await queuesAre('cpu+ask cpu+turn cpu llm+chat llm')
  expect(there.slots.map(({ id, device }) => `${id} ${device}`)).toEqual(['cpu0 cpu', 'llm0 cpu'])
  await until(async () => (await own())?.join() === 'ask,chat,turn')
  await send('llm+chat', [unit('c', 'chat', { text: 'hi' })])
  await send('cpu+turn', [unit('t', 'turn', { text: 'hi' })])
  expect(await heard('result', 'c')).toMatchObject({ slot: 'llm0', output: { text: 'llm: hi' } })
  expect(await heard('result', 't')).toMatchObject({ slot: 'cpu0', output: { text: 'cpu: hi' } })

  await server.stop()
  await queuesAre('cpu+turn cpu')
  await until(async () => (await own())?.join() === 'turn')
  server = await startLlmServer(undefined, port)
  await queuesAre('cpu+ask cpu+turn cpu llm+chat llm')
})

test('--queues llm serves it on the lanes, also where no server answers', async () => {
  await start({ queues: ['cpu', 'llm', 'llm+chat'] }, { tasksDir })
  const { slots } = await queuesAre('cpu llm llm+chat')
  expect(slots.map(({ id }) => id)).toEqual(['cpu0'])
  await send('llm+chat', [unit('c', 'chat', { text: 'hi' })])
  expect(await heard('result', 'c')).toMatchObject({ slot: 'cpu0', output: { text: 'llm: hi' } })
})
