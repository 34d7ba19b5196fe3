import type { Holding, SlotWant } from '@sc/shared/outbox-message.ts'
import { expect, it } from 'vitest'
import { createLink, type Held, type Link, LOST_MS } from '../apps/master/src/transport/link.ts'
import { createWants, type Wants } from '../apps/worker/src/messaging/wants.ts'

/**
 * A small transport, explored state by state: one worker with one slot, one more slot elsewhere that is always free, two units,
 * two masters of whom one serves the worker, and streams that lose nothing while Redis is there. The cores are the real ones
 * (`link.ts` of a master, `wants.ts` of a worker); the rest (queue, streams, PostgreSQL) is as simple as it can be. In each
 * state any of these may happen: the slot asks, also for its next entry while one runs, withdraws, or gives back what came too
 * early; the worker reads one message, ends a unit, says its state, is killed and starts anew; a master reads one message, gives a unit, judges silence, dies, and the other takes over; a message
 * is read twice; Redis is emptied; the worker ends a unit by an attempt that is not the unit's.
 *
 * In every state:
 *   A  a slot runs one entry at a time and has one more at most, each given for a want of this process
 *   B  a unit's result counts once
 *   T1 a master gives a want one entry, and another only after that one was lost or is over
 *   C  no unit is lost: it is done, waits in the queue, is held, or comes back by what can still happen
 * C is shown by `settle`: from each state that is reached, with no further faults, every unit ends. Explored are all orders of
 * DEPTH steps from the start of the worker, and of DEPTH_RUNNING from where it runs its first unit.
 */
interface State {
  units: Record<string, 'queued' | 'given' | 'done'>
  /** Accepted results of each unit. */
  accepted: Record<string, number>
  inbox: Array<
    | { type: 'units'; slot: string; want: number; entry: string; queue: string; ticket: string }
    | { type: 'welcome'; instance: number }
  >
  outbox: Out[]
  faults: number
  steps: string[]
}

type Out =
  | { type: 'hello'; instance: number }
  | { type: 'want'; want: SlotWant; instance: number }
  | { type: 'state'; instance: number; holding: Holding[]; wants: SlotWant[] }
  | { type: 'result' | 'returned' | 'of no attempt'; unit: string; entry: string }

const SLOT = 's'
const MOST_FAULTS = 3
const DEPTH = 9
const DEPTH_RUNNING = 7
/** So that the model does not shrink unnoticed. */
const STATES_AT_LEAST = 80_000
const TO_THE_FIRST_UNIT = [
  'the master reads',
  'the worker reads',
  'the slot asks',
  'the master reads',
  'the master gives',
  'the worker reads'
]

interface World {
  state: State
  worker: {
    wants: Wants
    instance: number
    isOpen: boolean
    running: string | null
    next: string | null
    asked: boolean
  }
  link: Link<string> | null
  entries: Map<string, string>
  /** By want, what the master that serves the worker now gave it, and is neither lost nor over. */
  given: Map<string, string>
  nowMs: number
  count: number
}

function begin(): World {
  const world: World = {
    state: {
      units: { a: 'queued', b: 'queued' },
      accepted: { a: 0, b: 0 },
      inbox: [],
      outbox: [],
      faults: 0,
      steps: []
    },
    worker: { wants: createWants(), instance: 1, isOpen: false, running: null, next: null, asked: false },
    link: createLink<string>(),
    entries: new Map(),
    given: new Map(),
    nowMs: 0,
    count: 0
  }
  world.state.outbox.push({ type: 'hello', instance: 1 })
  return world
}

const unitOf = (world: World, entry: string): string => world.entries.get(entry) as string

function backToQueue(world: World, lost: Held<string>[]): void {
  for (const { entry } of lost) requeue(world, unitOf(world, entry))
  forget(world, lost)
}

/** Entries that are no longer with the want that they were given for. */
function forget(world: World, gone: Held<string>[]): void {
  for (const { entry } of gone) for (const [want, one] of world.given) if (one === entry) world.given.delete(want)
}

function requeue({ state }: World, unit: string): void {
  if (state.units[unit] === 'given') state.units[unit] = 'queued'
}

/** What a master does with one message. */
function apply(world: World, message: Out): void {
  const { state, link } = world
  if (!link) return
  if (message.type === 'hello') {
    backToQueue(world, link.hello(String(message.instance)))
    world.given.clear()
    state.inbox.push({ type: 'welcome', instance: message.instance })
  } else if (message.type === 'want') link.want(message.want)
  else if (message.type === 'state') {
    const before = link.held().length
    const { unknown, lost } = link.state({ ...message, instance: String(message.instance) }, world.nowMs)
    if (before > 0 && lost.length === before) world.given.clear()
    backToQueue(world, lost)
    for (const { entry, slot } of unknown) {
      // As `findTaken` does: one that is not taken any more is not adopted.
      if (state.units[unitOf(world, entry)] !== 'given') continue
      link.give(slot, null, { entry, taken: entry, deadlineMs: 1e9, unitIds: [unitOf(world, entry)] }, world.nowMs)
    }
  } else if (message.type === 'of no attempt') {
    link.reported(message.unit)
    // As `apply-pending.ts` does: of a unit that is open it settles nothing, and its entry is taken back.
    if (state.units[message.unit] === 'done') forget(world, link.settled([message.unit]))
    const held = link.drop(link.entryOf(message.unit) ?? '')
    if (held) backToQueue(world, [held])
  } else {
    link.reported(message.unit)
    if (message.type === 'returned') requeue(world, message.unit)
    else if (state.units[message.unit] !== 'done') {
      state.units[message.unit] = 'done'
      state.accepted[message.unit] = (state.accepted[message.unit] ?? 0) + 1
    }
    forget(world, link.settled([message.unit]))
  }
}

function give(world: World): boolean {
  const { state, link } = world
  const [want] = link?.standing() ?? []
  const unit = Object.keys(state.units).find(one => state.units[one] === 'queued')
  if (!link || !want || !unit) return false
  const entry = `e${world.count++}`
  world.entries.set(entry, unit)
  state.units[unit] = 'given'
  const name = `${want.slot} ${want.want}`
  expect(world.given.has(name), 'a want was given two entries').toBe(false)
  world.given.set(name, entry)
  link.give(want.slot, want.want, { entry, taken: entry, deadlineMs: 1e9, unitIds: [unit] }, world.nowMs)
  state.inbox.push({ type: 'units', slot: want.slot, want: want.want, entry, queue: 'cpu', ticket: 't' })
  return true
}

/** What the worker does with one message. */
function receive(world: World, message: State['inbox'][number]): void {
  const { worker, state } = world
  if (message.type === 'welcome') {
    if (message.instance === worker.instance) worker.isOpen = true
    return
  }
  if (!worker.isOpen) return
  const arrived = worker.wants.arrive(message)
  if (arrived === 'taken') {
    // A
    expect(worker.next, 'two entries wait in one slot').toBeNull()
    if (worker.running === null) worker.running = message.entry
    else worker.next = message.entry
    worker.asked = false
  } else if (arrived === 'unwanted') {
    worker.wants.release(message.entry)
    state.outbox.push({ type: 'returned', unit: unitOf(world, message.entry), entry: message.entry })
  }
}

function sayState(world: World): void {
  const { worker, state } = world
  state.outbox.push({ type: 'state', instance: worker.instance, ...worker.wants.state() })
}

/** Everything that may happen, by name; undefined: not in this state. */
const STEPS: Record<string, (world: World) => boolean> = {
  'the slot asks': world => {
    const { worker, state } = world
    if (worker.next !== null || worker.asked) return false
    worker.asked = true
    state.outbox.push({ type: 'want', want: worker.wants.ask(SLOT, ['cpu']), instance: worker.instance })
    return true
  },
  'the slot withdraws': ({ worker }) => {
    if (!worker.asked) return false
    worker.asked = false
    worker.wants.withdraw(SLOT)
    return true
  },
  'the worker reads': world => {
    const message = world.state.inbox.shift()
    if (!message) return false
    receive(world, message)
    return true
  },
  'the worker ends its unit': world => {
    const { worker, state } = world
    if (worker.running === null) return false
    const entry = worker.running
    state.outbox.push({ type: 'result', unit: unitOf(world, entry), entry })
    worker.wants.release(entry)
    worker.running = worker.next
    worker.next = null
    return true
  },
  'the slot gives back what waits': ({ worker, state, entries }) => {
    if (worker.next === null) return false
    state.outbox.push({ type: 'returned', unit: entries.get(worker.next) as string, entry: worker.next })
    worker.wants.release(worker.next)
    worker.next = null
    return true
  },
  'the worker says its state': world => {
    if (world.state.outbox.at(-1)?.type === 'state') return false
    sayState(world)
    return true
  },
  'the master reads': world => {
    const { state, link } = world
    if (!link || state.outbox.length === 0) return false
    apply(world, state.outbox.shift() as Out)
    return true
  },
  'the master gives': give,
  'the master judges a silence': world => {
    const { link, state } = world
    // It judges only when it has read everything.
    if (!link || link.held().length === 0 || state.outbox.length > 0) return false
    world.nowMs += LOST_MS + 1
    const lost = link.lost(world.nowMs)
    backToQueue(world, lost)
    return lost.length > 0
  }
}

const FAULTS: Record<string, (world: World) => boolean> = {
  'the worker is killed and starts': world => {
    const { instance } = world.worker
    world.worker = {
      wants: createWants(),
      instance: instance + 1,
      isOpen: false,
      running: null,
      next: null,
      asked: false
    }
    world.state.outbox.push({ type: 'hello', instance: instance + 1 })
    return true
  },
  'the worker ends its unit by no attempt of it': world => {
    const { worker, state } = world
    if (worker.running === null) return false
    state.outbox.push({ type: 'of no attempt', unit: unitOf(world, worker.running), entry: worker.running })
    worker.wants.release(worker.running)
    worker.running = worker.next
    worker.next = null
    return true
  },
  'another master takes over': world => {
    world.link = createLink<string>()
    world.given.clear()
    return true
  },
  'a message is read twice by a master': world => {
    const [first] = world.state.outbox
    if (!first || !world.link) return false
    apply(world, first)
    return true
  },
  'a message is read twice by the worker': world => {
    const [first] = world.state.inbox
    if (!first) return false
    receive(world, first)
    return true
  },
  'two masters serve the worker': world => {
    // The other master knows the same wants, and gives beside.
    const { link } = world
    const want = link?.standing()[0]
    const unit = Object.keys(world.state.units).find(one => world.state.units[one] === 'queued')
    if (!want || !unit) return false
    const entry = `e${world.count++}`
    world.entries.set(entry, unit)
    world.state.units[unit] = 'given'
    world.state.inbox.push({ type: 'units', slot: want.slot, want: want.want, entry, queue: 'cpu', ticket: 't' })
    return true
  },
  'Redis is emptied': world => {
    world.state.inbox = []
    world.state.outbox = []
    return true
  }
}

function replay(steps: string[]): World | null {
  const world = begin()
  for (const name of steps) if (!(STEPS[name] ?? FAULTS[name])?.(world)) return null
  return world
}

/** What can differ in what happens next. */
function keyOf({ state, worker, link }: World): string {
  const { inbox, outbox, units } = state
  const held = link?.held().map(({ entry, unread, open }) => [entry, [...unread], [...open]])
  return JSON.stringify([
    inbox,
    outbox,
    units,
    worker.wants.state(),
    worker.instance,
    worker.isOpen,
    worker.running,
    worker.next,
    worker.asked,
    held,
    link?.standing(),
    state.faults
  ])
}

/** C: without further faults every unit ends. What BullMQ's stalled check does stands for locks that nobody renews. */
function settle(world: World): void {
  for (let round = 0; round < 60; round++) {
    const { state, worker, link } = world
    if (Object.values(state.units).every(status => status === 'done')) break
    if (
      !worker.isOpen &&
      !state.outbox.some(({ type }) => type === 'hello') &&
      !state.inbox.some(({ type }) => type === 'welcome')
    )
      state.outbox.push({ type: 'hello', instance: worker.instance })
    for (const name of Object.keys(STEPS))
      if (!['the slot withdraws', 'the slot gives back what waits', 'the master judges a silence'].includes(name))
        while (STEPS[name]?.(world)) if (name.includes('says')) break
    if (round % 4 === 3) STEPS['the master judges a silence']?.(world)
    const known = new Set(link?.held().map(({ entry }) => unitOf(world, entry)))
    const isIdle = state.inbox.length === 0 && state.outbox.length === 0 && worker.running === null
    // The lock of a unit that no master holds runs out.
    if (isIdle)
      for (const unit of Object.keys(state.units))
        if (state.units[unit] === 'given' && !known.has(unit)) requeue(world, unit)
  }
  expect(world.state.units, world.state.steps.join(' -> ')).toEqual({ a: 'done', b: 'done' })
}

it('loses no unit, counts no result twice and puts no two entries into one slot, whatever happens in which order', () => {
  const seen = new Set<string>()
  let frontier: string[][] = [[]]
  let states = 0
  for (let depth = 0; depth <= DEPTH; depth++) {
    const next: string[][] = []
    if (depth === DEPTH - DEPTH_RUNNING) frontier.push(TO_THE_FIRST_UNIT)
    for (const steps of frontier) {
      const faults = steps.filter(name => name in FAULTS).length
      const names = [...Object.keys(STEPS), ...(faults < MOST_FAULTS ? Object.keys(FAULTS) : [])]
      for (const name of names) {
        const path = [...steps, name]
        const world = replay(path)
        if (!world) continue
        world.state.faults = path.filter(one => one in FAULTS).length
        world.state.steps = path
        const key = keyOf(world)
        if (seen.has(key)) continue
        seen.add(key)
        states++
        // B
        for (const count of Object.values(world.state.accepted)) expect(count, path.join(' -> ')).toBeLessThanOrEqual(1)
        next.push(path)
        settle(world)
      }
    }
    frontier = next
  }
  expect(states).toBeGreaterThan(STATES_AT_LEAST)
})
