import { setImmediate } from 'node:timers/promises'
import { beforeEach, expect, it } from 'vitest'
import { createTurns, type Turn, type Turns } from '../../src/jobs/turns.ts'

const never = new AbortController().signal
let nowMs = 0
let turns: Turns
beforeEach(() => {
  nowMs = 0
  turns = createTurns({ atOnce: 1, nowMs: () => nowMs })
})

/** Recordings of so many pieces of work of 100 ms each, all there at once; in which order they end. */
async function runAll(recordings: Array<{ name: string; keyId: string; pieces: number }>): Promise<string[]> {
  const ended: string[] = []
  const run = async ({ name, keyId, pieces }: (typeof recordings)[number]): Promise<void> => {
    const turn = turns.enter(keyId)
    for (let piece = 0; piece < pieces; piece++) {
      await turn.next(never)
      nowMs += 100
    }
    turn.leave()
    ended.push(name)
  }
  await Promise.all(recordings.map(run))
  return ended
}

it('a short one ends before long ones that came first, of another key and of the same', async () => {
  const long = { keyId: 'a', pieces: 1_000 }
  const ended = await runAll([
    { name: 'long 1', ...long },
    { name: 'long 2', ...long },
    { name: 'short of a', keyId: 'a', pieces: 5 },
    { name: 'short of b', keyId: 'b', pieces: 5 }
  ])
  expect(ended.slice(0, 2).sort()).toEqual(['short of a', 'short of b'])
})

it('keys share evenly, however many recordings each has', async () => {
  const ended = await runAll([
    ...Array.from({ length: 8 }, (_, at) => ({ name: `a ${at}`, keyId: 'a', pieces: 100 })),
    { name: 'b', keyId: 'b', pieces: 100 }
  ])
  // b has had half of all when it ends: 200 pieces, of which those of a are spread over eight of 100.
  expect(ended[0]).toBe('b')
})

it('who comes late has saved nothing up', async () => {
  const early = turns.enter('a')
  await early.next(never)
  nowMs += 1_000_000
  const late = turns.enter('b')
  const waiting = late.next(never)
  const again = early.next(never)
  await waiting
  nowMs += 300
  // More than a slice, far less than the other had: that one's turn it is all the same.
  void late.next(never)
  await again
})

it('nobody else waits: the turn is kept; who rests or leaves gives it up', async () => {
  const [one, two] = [turns.enter('a'), turns.enter('b')]
  for (let piece = 0; piece < 10; piece++) {
    await one.next(never)
    nowMs += 1_000
  }
  expect(await isGranted(two)).toBe(false)
  one.rest()
  await setImmediate()
  // It was asked for above, and is two's now.
  const back = one.next(never)
  two.leave()
  await back
})

it('a plan that is stopped while it waits lets others by', async () => {
  const [one, two, three] = [turns.enter('a'), turns.enter('b'), turns.enter('c')]
  await one.next(never)
  const stop = new AbortController()
  const stopped = two.next(stop.signal)
  const waiting = three.next(never)
  stop.abort()
  await expect(stopped).rejects.toMatchObject({ code: 'SC_CANCELLED' })
  two.leave()
  one.leave()
  await waiting
})

async function isGranted(turn: Turn): Promise<boolean> {
  let granted = false
  void turn.next(never).then(() => {
    granted = true
  })
  await setImmediate()
  return granted
}
