import { createLog } from '@sc/shared/log.ts'
import type { Holding } from '@sc/shared/outbox-message.ts'
import { expect, test, vi } from 'vitest'
import type { TakenEntry } from '../../src/queues/queues.ts'
import { createAdopt } from '../../src/transport/adopt.ts'
import { createLinks } from '../../src/transport/links.ts'

const holding = (count: number, from = 0): Holding[] =>
  Array.from({ length: count }, (_, at) => ({ entry: `e${from + at}`, queue: 'cpu', slot: 's', ticket: 't' }))
const inRedis = (entry: string) =>
  ({ jobId: entry, units: [{ unitId: `${entry}.0`, deadline: 1 }] }) as unknown as TakenEntry

/** With entries of these names in Redis; each question waits for `answer`. */
function open(found: string[] = [], answer: Promise<void> = Promise.resolve()) {
  const links = createLinks()
  const link = links.add('w-1')
  const asked: string[] = []
  const refused: string[] = []
  const adopt = createAdopt({
    links,
    tickets: { isEntry: ticket => ticket === 't' },
    log: createLog('test', 'silent'),
    find: async ({ entry }) => {
      asked.push(entry)
      await answer
      return found.includes(entry) ? inRedis(entry) : undefined
    },
    onRefused: (_, reason) => refused.push(reason)
  })
  return { links, link, adopt, asked, refused }
}
const settled = () => new Promise(resolve => setTimeout(resolve, 20))

test('what a worker holds and proves is taken over; of what is not in Redis nothing is asked twice', async () => {
  const { link, adopt, asked, refused } = open(['e1'])
  for (let n = 0; n < 5; n++) {
    adopt(link, holding(3))
    await settled()
  }
  expect(link.held().map(({ entry }) => entry)).toEqual(['e1'])
  expect(asked).toEqual(['e0', 'e1', 'e2'])
  expect(refused).toEqual([])
  adopt(link, [{ ...(holding(1, 9)[0] as Holding), ticket: 'forged' }])
  await settled()
  expect(refused).toEqual([expect.stringMatching(/e9, which it was not given/)])
})

test('however many states come, one question is asked at a time, and those of the newest state', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { link, adopt, asked } = open(['e0', 'e7'], promise)
  for (let n = 0; n < 8; n++) adopt(link, holding(1, n))
  expect(asked).toEqual(['e0'])
  resolve()
  await settled()
  expect(asked).toEqual(['e0', 'e7'])
})

test('nothing is asked for a worker that another master serves by now', async () => {
  const { promise, resolve } = Promise.withResolvers<void>()
  const { links, link, adopt, asked } = open(['e0', 'e1'], promise)
  adopt(link, holding(2))
  links.remove('w-1')
  resolve()
  await settled()
  expect([asked, link.held()]).toEqual([['e0'], []])
})

test('a worker with all its slots is taken over at once; one that names ever others is not looked after, and is wrong', async () => {
  const { link, adopt, asked, refused } = open(holding(512).map(({ entry }) => entry))
  adopt(link, holding(512))
  await vi.waitFor(() => expect(link.held()).toHaveLength(512))
  for (let n = 1; n <= 20; n++) {
    adopt(link, holding(512, 512 * n))
    await settled()
  }
  expect(asked.length).toBeLessThan(600)
  expect(refused.length).toBeGreaterThan(10)
})
