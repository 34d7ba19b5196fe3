import { afterAll, afterEach, expect, test, vi } from 'vitest'
import { watchLlmServer } from '../../src/probe/llm-server.ts'
import { createSlotPlanner } from '../../src/probe/slot-plan.ts'
import { followGpus } from '../../src/slots/follow-gpus.ts'
import { createSlotSet } from '../../src/slots/slot-set.ts'
import { quiet, until } from '../fixtures/children.ts'
import { type LlmServer, startLlmServer } from '../fixtures/llm-server.ts'
import { openCluster, unit } from '../fixtures/open-cluster.ts'
import { taskFile, writeTasks } from '../tasks/write-tasks.ts'

const { start, send, seen, heard, written, reset, close } = await openCluster()
const tasksDir = writeTasks({
  'chat.ts': taskFile('chat', 'return { text: "llm: " + text }', `requires: { features: ['llm'] },`),
  'turn.ts': taskFile('turn', 'return { text: "cpu: " + text }'),
  'ask.ts': taskFile('ask', 'return { text }', `requires: { features: ['ollama'] },`)
})
let server: LlmServer | undefined
afterAll(close)
afterEach(async () => {
  await reset()
  await server?.stop()
  vi.unstubAllEnvs()
})

const queuesAre = (queues: string) => seen(presence => presence.queues.join(' ') === queues)
const own = async () => {
  const last = (await written()).findLast(message => message.type === 'registered')
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
  send('llm+chat', [unit('c', 'chat', { text: 'hi' })])
  send('cpu+turn', [unit('t', 'turn', { text: 'hi' })])
  expect(await heard('result', 'c')).toMatchObject({ slot: 'llm0', output: { text: 'llm: hi' } })
  expect(await heard('result', 't')).toMatchObject({ slot: 'cpu0', output: { text: 'cpu: hi' } })

  await server.stop()
  await queuesAre('cpu+turn cpu')
  await until(async () => (await own())?.join() === 'turn')
  server = await startLlmServer(undefined, port)
  await queuesAre('cpu+ask cpu+turn cpu llm+chat llm')
})

test('it is said that the server came also when its slot could not be made', async () => {
  const slots = createSlotSet(({ id }) => {
    throw new Error(`no room for ${id}`)
  }, quiet)
  let answers = false
  const came = Promise.withResolvers<void>()
  const stop = await followGpus({
    planner: createSlotPlanner([], { concurrency: 0 }),
    slots,
    everyMs: 10,
    onGpus: () => {},
    llm: watchLlmServer(async () => answers),
    onLlm: came.resolve,
    log: quiet
  })
  answers = true
  await came.promise
  await stop()
  expect(slots.slots()).toEqual([])
})

test('--queues llm serves it on the lanes, also where no server answers', async () => {
  await start({ queues: ['cpu', 'llm', 'llm+chat'] }, { tasksDir })
  const { slots } = await queuesAre('cpu llm llm+chat')
  expect(slots.map(({ id }) => id)).toEqual(['cpu0'])
  send('llm+chat', [unit('c', 'chat', { text: 'hi' })])
  expect(await heard('result', 'c')).toMatchObject({ slot: 'cpu0', output: { text: 'llm: hi' } })
})
