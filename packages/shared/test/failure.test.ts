import { expect, test } from 'vitest'
import { failureOf } from '../src/children/failure.ts'

const messageOf = (thrown: unknown): string => failureOf(thrown, 'it').message

test('each cause is told once, and no more than five', () => {
  const circle = new Error('first', { cause: new Error('second') })
  ;(circle.cause as Error).cause = circle
  expect(messageOf(circle)).toBe('it failed. Error: first; caused by Error: second')
  const many = new AggregateError(
    Array.from({ length: 200_000 }, (_, at) => `${at}`),
    'all'
  )
  expect(messageOf(many)).toBe(
    `it failed. AggregateError: all; caused by ${[0, 1, 2, 3, 4].map(at => `Error: ${at}`).join('; caused by ')}`
  )
})

test('what throws when it is looked at is told of as well', () => {
  const trap = (): never => {
    throw new Error('trap')
  }
  const { proxy, revoke } = Proxy.revocable([], {})
  revoke()
  expect(messageOf(new Proxy({}, { getPrototypeOf: trap, get: trap }))).toBe(
    'it failed. Error: (object without a text)'
  )
  expect(messageOf({ errors: proxy })).toMatch(/^it failed\. Error: \{ errors: /)
})
