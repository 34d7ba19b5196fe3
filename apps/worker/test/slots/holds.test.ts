import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createFakeSmi } from '../fixtures/fake-smi.ts'
import { openCluster, unit } from '../fixtures/open-cluster.ts'

const { master, start, send, seen, heard, said, tell, stopWorkers, reset, close } = await openCluster()
afterAll(close)
beforeEach(() => {
  vi.stubEnv('PATH', createFakeSmi().path)
})
afterEach(async () => {
  await reset()
  vi.unstubAllEnvs()
})

const idle = () => seen(({ slots }) => slots[0]?.state === 'idle')
const draining = () => seen(({ slots }) => slots[0]?.state === 'draining')

test('a worker that was drained before its restart starts drained, until it is resumed', async () => {
  master.named.draining = true
  await start()
  send('cpu', [unit('u', 'echo')])
  expect(await draining()).toMatchObject({ status: 'draining', reason: 'it was drained, until it is resumed' })
  expect(master.waiting('cpu')).toBe(1)
  await tell({ type: 'resume' })
  await heard('result', 'u')
  expect(await idle()).toMatchObject({ status: 'online', reason: null })
})

test('in quiet hours nothing new is taken, and `resume` does not end them', async () => {
  let reason: string | null = null
  await start({}, { quietReason: () => reason })
  send('cpu', [unit('u', 'wait', { ms: 1_500 })])
  await heard('started', 'u')
  reason = 'quiet hours until 07:30'
  expect(await seen(({ status }) => status === 'draining')).toMatchObject({ reason })
  await tell({ type: 'resume' })
  send('cpu', [unit('later', 'echo')])
  await heard('result', 'u')
  expect((await draining()).slots[0]).toMatchObject({ reason })
  expect((await said()).some(message => message.unitId === 'later')).toBe(false)
  reason = null
  await heard('result', 'later')
})

test('stop hands back what it has not started, too', async () => {
  const worker = await start()
  send('cpu', [unit('runs', 'wait'), unit('waits', 'echo')])
  await heard('started', 'runs')
  worker.takeNoMore()
  await tell({ type: 'resume' })
  await stopWorkers()
  expect((await said()).map(({ type, unitId }) => `${type} ${unitId}`)).toEqual(['started runs', 'returned runs'])
  expect(master.waiting('cpu')).toBe(1)
})

test('between units a child whose memory has grown is replaced; a new one is left alone', async () => {
  await start({}, { maxChildBytes: 122 })
  const first = await idle()
  // It says that it has 123 bytes.
  send('cpu', [unit('grows', 'tell')])
  await heard('result', 'grows')
  const second = await seen(
    ({ libraries, slots }) => libraries.pid !== first.libraries.pid && slots[0]?.state === 'idle'
  )
  send('cpu', [unit('small', 'echo')])
  await heard('result', 'small')
  expect((await seen(({ figures }) => figures.unitsDone === 2)).libraries.pid).toBe(second.libraries.pid)
})

test('a child that ran out of memory is replaced, and lets go of what it held', async () => {
  await start()
  const first = await idle()
  send('cpu', [unit('large', 'refuse')])
  expect(await heard('error', 'large')).toMatchObject({ error: { code: 'SC_OUT_OF_MEMORY' }, retryable: true })
  await seen(({ libraries, slots }) => libraries.pid !== first.libraries.pid && slots[0]?.state === 'idle')
})
