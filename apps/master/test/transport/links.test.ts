import type { SlotWant } from '@sc/shared/outbox-message.ts'
import { expect, test } from 'vitest'
import type { TakenEntry } from '../../src/queues/queues.ts'
import { BEGIN_MS } from '../../src/transport/link.ts'
import { createLinks, type Links, type ServedLink } from '../../src/transport/links.ts'

const want = (slot: string, count = 1): SlotWant => ({ slot, want: count, queues: ['cpu'] })

function serve(links: Links, workerId: string, wants: SlotWant[]): ServedLink {
  const link = links.add(workerId)
  link.allow('any')
  for (const one of wants) link.want(one)
  return link
}

/** The slot has an entry of one unit. */
function give(link: ServedLink, slot: string): void {
  const entry = `entry of ${slot}`
  link.give(slot, 1, { entry, taken: {} as TakenEntry, deadlineMs: 1, unitIds: [`unit of ${slot}`] }, 0)
}

const order = (links: Links): string[] => links.standing().map(one => `${one.link.workerId} ${one.want.slot}`)

test('who waits for its first unit goes before who asks for its next one, whichever worker and whoever asked first', () => {
  const links = createLinks()
  const first = serve(links, 'w-1', [want('a'), want('b')])
  give(first, 'a')
  first.want(want('a', 2))
  serve(links, 'w-2', [want('c')])
  expect(order(links)).toEqual(['w-1 b', 'w-2 c', 'w-1 a'])
})

test('a slot has one unit that runs and the next; more it does not get', () => {
  const links = createLinks()
  const link = serve(links, 'w-1', [want('a')])
  give(link, 'a')
  link.want(want('a', 2))
  link.give('a', 2, { entry: 'next', taken: {} as TakenEntry, deadlineMs: 1, unitIds: ['next'] }, 0)
  link.want(want('a', 3))
  expect(order(links)).toEqual([])
  link.reported('unit of a')
  expect(order(links)).toEqual(['w-1 a'])
})

test('who has begun what it was given goes before who has not, and who let something be lost goes behind', () => {
  const links = createLinks()
  const idle = serve(links, 'w-1', [want('a')])
  const proven = serve(links, 'w-2', [want('b')])
  give(proven, 'b')
  proven.began('unit of b')
  proven.settled(['unit of b'])
  proven.want(want('b', 2))
  expect(order(links)).toEqual(['w-2 b', 'w-1 a'])
  proven.give('b', 2, { entry: 'lost', taken: {} as TakenEntry, deadlineMs: 1, unitIds: ['lost'] }, 0)
  expect(proven.lost(10_000)).toHaveLength(1)
  proven.want(want('b', 3))
  give(idle, 'a')
  idle.began('unit of a')
  idle.settled(['unit of a'])
  idle.want(want('a', 2))
  expect(order(links)).toEqual(['w-1 a', 'w-2 b'])
})

test('what a worker began and gave back counts against it, unless another unit of the entry came to its end', () => {
  const link = serve(createLinks(), 'w-1', [want('a'), want('b')])
  const several = { entry: 'e', taken: {} as TakenEntry, deadlineMs: 1, unitIds: ['e1', 'e2'] }
  link.give('a', 1, several, 0)
  link.began('e1')
  expect(link.settled(['e1'])).toEqual([])
  expect(link.settled(['e2'], true)).toHaveLength(1)
  expect(link.isProven).toBe(true)
  give(link, 'b')
  link.began('unit of b')
  expect(link.settled(['unit of b'], true)).toHaveLength(1)
  expect(link.isProven).toBe(false)
})

test('a worker may have few units that it has not begun, and the workers take turns', () => {
  const links = createLinks()
  const many = Array.from({ length: 20 }, (_, at) => want(`m${at}`))
  serve(links, 'w-1', many)
  serve(links, 'w-2', [want('a'), want('b')])
  expect(order(links).slice(0, 4)).toEqual(['w-1 m0', 'w-2 a', 'w-1 m1', 'w-2 b'])
  expect(order(links).length).toBeLessThan(10)
})

test('what a worker holds and does not begin in time is lost, with its signs of life; what runs is not', () => {
  const links = createLinks()
  const link = serve(links, 'w-1', [want('a'), want('b'), want('c'), want('d')])
  const several = (entry: string) => ({
    entry,
    taken: {} as TakenEntry,
    deadlineMs: 1,
    unitIds: [`${entry}1`, `${entry}2`]
  })
  give(link, 'a')
  give(link, 'b')
  link.began('unit of b')
  link.give('c', 1, several('c'), 0)
  link.began('c1')
  link.give('d', 1, several('d'), 0)
  link.began('d1')
  link.reported('d1')
  const sign = (nowMs: number) => {
    const holding = link.held().map(({ entry, slot }) => ({ entry, slot, queue: 'cpu', ticket: '' }))
    link.state({ instance: 'i', holding, wants: [] }, nowMs)
    return link.lost(nowMs).map(({ entry }) => entry)
  }
  expect(sign(BEGIN_MS)).toEqual([])
  // Nothing could be read for a while.
  link.forgive(BEGIN_MS - 10_000)
  expect(sign(BEGIN_MS + 1)).toEqual([])
  expect(sign(2 * BEGIN_MS)).toEqual(['entry of a', 'c'])
  expect(link.isProven).toBe(false)
})

test('since when a worker has a unit is known of what it was given, and not of what another master gave', () => {
  const link = serve(createLinks(), 'w-1', [want('a')])
  give(link, 'a')
  const entry = { entry: 'before', taken: {} as TakenEntry, deadlineMs: 1, unitIds: ['before'] }
  link.give('b', null, entry, 5_000)
  expect(['unit of a', 'before', 'unknown'].map(link.hadSinceMs)).toEqual([0, undefined, undefined])
})
