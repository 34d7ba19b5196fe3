import type { InboxMessage } from '@sc/shared/inbox-message.ts'
import type { OutboxMessage } from '@sc/shared/outbox-message.ts'
import { closeRedis, connectRedis } from '@sc/shared/redis.ts'
import { inboxKey, outboxKey, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { afterAll, expect, test } from 'vitest'
import { startRedis } from '../../../../packages/shared/test/start-redis.ts'
import { type Order, openLink, type Welcome } from '../../src/messaging/link.ts'
import { openOutbox } from '../../src/messaging/outbox.ts'
import { quiet, until } from '../fixtures/children.ts'

const server = await startRedis()
const redis = connectRedis(server.url, { name: 'test' })
afterAll(async () => {
  await closeRedis(redis)
  await server.stop()
})

const never = new AbortController().signal

/** The link of one worker process; the test writes its inbox. */
function open(workerId: string) {
  const blocking = connectRedis(server.url, { name: 'test', blocking: true })
  const outbox = openOutbox(redis, workerId, quiet)
  const [welcomes, orders]: [Welcome[], Order[]] = [[], []]
  const link = openLink({
    ...{ redis, blocking, outbox, workerId, hostname: 'h', version: '1.2.3', log: quiet },
    onWelcome: welcome => void welcomes.push(welcome),
    onOrder: order => void orders.push(order)
  })
  const written = async (): Promise<OutboxMessage[]> =>
    (await redis.xrange(outboxKey(workerId), '-', '+')).flatMap(([, fields]) => JSON.parse(fields[1] as string))
  const hellos = async () => (await written()).flatMap(message => (message.type === 'hello' ? [message] : []))
  const tell = (...messages: InboxMessage[]) => redis.rpush(inboxKey(workerId), JSON.stringify(messages)).then(() => {})
  const welcome = (instance: string | null, draining = false): InboxMessage => ({
    ...{ type: 'welcome', instance, protocol: PROTOCOL_VERSION, version: '1', draining },
    ...{ httpUrl: 'http://m', localUrl: 'http://m' }
  })
  const stop = async (): Promise<void> => {
    await link.stop()
    await outbox.close(1_000)
  }
  return { link, outbox, welcomes, orders, written, hellos, tell, welcome, stop }
}

test('hello is said again until it is answered, by a master that came later, too', async () => {
  const { hellos, tell, welcome, welcomes, stop } = open('later')
  await until(async () => (await hellos()).length === 2)
  const [first, second] = await hellos()
  expect(first).toEqual(second)
  expect(first).toMatchObject({ hostname: 'h', protocol: PROTOCOL_VERSION, version: '1.2.3' })
  await tell(welcome(first?.instance ?? ''))
  await until(() => welcomes.length === 1)
  await stop()
})

test('each process has another instance, and is open with the welcome that names it', async () => {
  const before = open('again')
  await until(async () => (await before.hellos()).length === 1)
  await before.stop()
  const { hellos, tell, welcome, welcomes, orders, stop } = open('again')
  await until(async () => (await hellos()).length === 2)
  const [earlier, own] = (await hellos()).map(({ instance }) => instance) as [string, string]
  expect(earlier).not.toBe(own)
  await tell(welcome(earlier), welcome(null), { type: 'drain' })
  await tell(welcome(own, true), { type: 'cancel', unitIds: ['u'] })
  await tell(welcome(earlier, false), welcome(null, false))
  await until(() => welcomes.length === 2)
  expect(welcomes.map(({ instance, draining }) => ({ instance, draining }))).toEqual([
    { instance: own, draining: true },
    { instance: null, draining: false }
  ])
  expect(orders).toEqual([{ type: 'cancel', unitIds: ['u'] }])
  await stop()
})

test('after its connection broke it asks again how it stands: an order may be lost with what was on its way', async () => {
  const { hellos, tell, welcome, orders, stop } = open('broken')
  await until(async () => (await hellos()).length === 1)
  await tell(welcome((await hellos())[0]?.instance ?? ''), { type: 'resume' })
  await until(() => orders.length === 1)
  await new Promise(resolve => setTimeout(resolve, 1_100))
  const waiting = String(await redis.client('LIST')).split('\n')
  const id = /^id=(\d+)/.exec(waiting.find(line => line.includes('cmd=blmpop')) ?? '')?.[1]
  await redis.client('KILL', 'ID', id ?? '')
  await until(async () => (await hellos()).length === 2)
  const [first, again] = await hellos()
  expect(again).toEqual(first)
  await stop()
})

test('what is no message is left out, and what follows it is read', async () => {
  const { hellos, tell, welcome, orders, stop } = open('odd')
  await until(async () => (await hellos()).length === 1)
  await redis.rpush(inboxKey('odd'), 'no JSON')
  await redis.rpush(inboxKey('odd'), JSON.stringify([{ type: 'of a later version' }]))
  await tell(welcome((await hellos())[0]?.instance ?? ''))
  await redis.rpush(inboxKey('odd'), JSON.stringify([{ type: 'of a later version' }, { type: 'drain' }]))
  await until(() => orders.length === 1)
  // All of it was read, and is gone.
  await until(async () => (await redis.llen(inboxKey('odd'))) === 0)
  await stop()
})

test('a slot that asks no more gets nothing, and the next state says so', async () => {
  const { link, hellos, tell, welcome, written, stop } = open('asks')
  const asking = new AbortController()
  const asked = link.ask('a', ['cpu'], asking.signal)
  const other = link.ask('b', ['cpu'], never)
  await until(async () => (await hellos()).length === 1)
  // Whether it may take units at all it learns with the welcome.
  expect((await written()).map(({ type }) => type)).toEqual(['hello'])
  await tell(welcome((await hellos())[0]?.instance ?? ''))
  await until(async () => (await written()).filter(({ type }) => type === 'want').length === 2)
  asking.abort()
  expect(await asked).toBeUndefined()
  expect(await link.ask('a', ['cpu'], asking.signal)).toBeUndefined()
  await until(async () => {
    const state = (await written()).findLast(message => message.type === 'state')
    return state?.wants.map(({ slot }) => slot).join() === 'b'
  })
  await stop()
  expect(await Promise.race([other, 'nothing came'])).toBe('nothing came')
})
