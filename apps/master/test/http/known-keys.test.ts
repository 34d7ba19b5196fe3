import { expect, test, vi } from 'vitest'
import type { Identity } from '../../src/http/identity.ts'
import { createKnownKeys } from '../../src/http/known-keys.ts'

const READER: Identity = { keyId: 'k', scopes: ['read'], workerId: null, sessionId: null }

test('a key is looked up once in a second, and again once some key is revoked', async () => {
  vi.useFakeTimers({ toFake: ['performance'] })
  const find = vi.fn(async () => READER)
  const keys = createKnownKeys(find)
  expect(await keys.find('a')).toBe(READER)
  await keys.find('a')
  expect(find).toHaveBeenCalledTimes(1)
  keys.forget()
  await keys.find('a')
  expect(find).toHaveBeenCalledTimes(2)
  vi.advanceTimersByTime(1_000)
  await keys.find('a')
  expect(find).toHaveBeenCalledTimes(3)
  vi.useRealTimers()
})

test('what was looked up before a key was revoked is not kept', async () => {
  const answers = [READER, null]
  const keys = createKnownKeys(async () => answers.shift() ?? null)
  const finding = keys.find('a')
  keys.forget()
  expect(await finding).toBe(READER)
  expect(await keys.find('a')).toBeNull()
})

test.each([
  ['a worker', { ...READER, scopes: ['worker'], workerId: 'w-1' } satisfies Identity],
  ['a join code', { ...READER, scopes: ['join'] } satisfies Identity],
  ['nobody', null]
])('%s is looked up each time', async (_, identity) => {
  const find = vi.fn(async () => identity)
  const keys = createKnownKeys(find)
  await keys.find('a')
  await keys.find('a')
  expect(find).toHaveBeenCalledTimes(2)
})
