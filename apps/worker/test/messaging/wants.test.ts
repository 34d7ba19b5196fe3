import { expect, test } from 'vitest'
import { createWants } from '../../src/messaging/wants.ts'

const entry = (slot: string, want: number, id = 'e') => ({ slot, want, entry: id, queue: 'cpu', ticket: `t ${id}` })

test('each slot counts its wants, and the last one stands', () => {
  const wants = createWants()
  expect(wants.ask('a', ['gpu', 'cpu'])).toEqual({ slot: 'a', want: 1, queues: ['gpu', 'cpu'] })
  expect(wants.ask('b', ['cpu'])).toMatchObject({ slot: 'b', want: 1 })
  expect(wants.ask('a', ['cpu'])).toMatchObject({ slot: 'a', want: 2 })
  expect(wants.state()).toEqual({
    holding: [],
    wants: [
      { slot: 'a', want: 2, queues: ['cpu'] },
      { slot: 'b', want: 1, queues: ['cpu'] }
    ]
  })
})

test('an entry answers the want that it names, once', () => {
  const wants = createWants()
  wants.ask('a', ['cpu'])
  expect(wants.arrive(entry('a', 1))).toBe('taken')
  expect(wants.state()).toEqual({ holding: [{ entry: 'e', queue: 'cpu', slot: 'a', ticket: 't e' }], wants: [] })
  // The same message, read twice; another master's answer to the same want.
  expect(wants.arrive(entry('a', 1))).toBe('known')
  expect(wants.arrive(entry('a', 1, 'other'))).toBe('unwanted')
  expect(wants.state().holding).toHaveLength(1)
})

test('an entry for a want that was withdrawn, or that another has followed, is unwanted', () => {
  const wants = createWants()
  wants.ask('a', ['cpu'])
  wants.withdraw('a')
  expect(wants.arrive(entry('a', 1))).toBe('unwanted')
  wants.ask('a', ['cpu'])
  wants.ask('a', ['cpu'])
  expect(wants.arrive(entry('a', 2))).toBe('unwanted')
  expect(wants.arrive(entry('a', 4))).toBe('unwanted')
  expect(wants.arrive(entry('nobody', 1))).toBe('unwanted')
  expect(wants.arrive(entry('a', 3))).toBe('taken')
})

test('what is held stays so beside the next want, until it is released', () => {
  const wants = createWants()
  wants.ask('a', ['cpu'])
  wants.arrive(entry('a', 1, 'first'))
  wants.ask('a', ['cpu'])
  wants.arrive(entry('a', 2, 'second'))
  expect(wants.state().holding.map(one => one.entry)).toEqual(['first', 'second'])
  wants.release('first')
  wants.release('nothing of that name')
  expect(wants.state().holding.map(one => one.entry)).toEqual(['second'])
  // A message from before, read anew after an outage.
  expect(wants.arrive(entry('a', 1, 'first'))).toBe('unwanted')
})
