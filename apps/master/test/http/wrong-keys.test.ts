import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { createWrongKeys } from '../../src/http/wrong-keys.ts'
import { startApp, type TestApp } from './start-app.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

const [HOSTILE, OTHER] = ['203.0.113.5', '203.0.113.6']
const ask = (headers: Record<string, string>, remoteAddress: string) =>
  one.app.inject({ url: '/api/jobs', headers, remoteAddress })
const wrong = (n: number) => ({ authorization: `Bearer wrong-${n}` })

it('too many wrong keys of an address are refused before any is looked up, and a right one of that address is not', async () => {
  const { keys } = one.deps
  expect((await ask(one.bearer('read'), HOSTILE)).statusCode).toBe(200)
  for (let n = 0; n <= 600; n++) await ask(wrong(n), HOSTILE)
  const find = vi.spyOn(keys, 'find')
  const sessions = vi.spyOn(keys.sessions, 'find')
  const refused = await Promise.all(Array.from({ length: 200 }, (_, n) => ask(wrong(n), HOSTILE)))
  const cookies = await Promise.all(
    Array.from({ length: 200 }, (_, n) => ask({ cookie: `sc_session_x=${n}` }, HOSTILE))
  )
  expect(new Set(refused.map(({ statusCode }) => statusCode))).toEqual(new Set([429]))
  expect(cookies.at(-1)?.statusCode).toBe(429)
  expect(find.mock.calls.length + sessions.mock.calls.length).toBeLessThan(60)
  expect((await ask(one.bearer('read'), HOSTILE)).statusCode).toBe(200)
  expect((await ask(wrong(0), OTHER)).statusCode).toBe(401)
  // One that was not used for a while comes through by trying again, as it is told to.
  await expect
    .poll(async () => (await ask(one.bearer('submit'), HOSTILE)).statusCode, { timeout: 10_000, interval: 300 })
    .toBe(200)
}, 30_000)

it('a limit ends, and a key that became wrong counts as one', () => {
  let nowMs = 0
  const keys = createWrongKeys(() => nowMs)
  const lookedUp = (key: string) => Array.from({ length: 20 }, () => keys.mayLookUp('a', key)).filter(Boolean).length
  keys.wasRight('right')
  keys.limit('a', 60)
  expect([lookedUp('right'), lookedUp('x')]).toEqual([20, 5])
  nowMs += 1_000
  keys.wasWrong('right')
  expect(lookedUp('right')).toBe(5)
  nowMs += 60_000
  expect(lookedUp('x')).toBe(20)
})
