/**
 * DESIGN: this worker and the masters: one inbox, one outbox, and what both are about.
 *
 *   start: hello --welcome of this process--> open; until then, whatever the inbox has is of an earlier process, and wants wait
 *   open:  want -> units -> outcomes; every second while something is held, else less often: state, the sign of life
 *
 * `hello` is repeated until it is answered. A master that came later, or a Redis that was emptied, learns all from the next
 * state.
 */
import { randomUUID } from 'node:crypto'
import type { InboxMessage, UnitsMessage } from '@sc/shared/inbox-message.ts'
import type { Logger } from '@sc/shared/log.ts'
import type { Redis } from '@sc/shared/redis.ts'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import type { UnitPayload } from '@sc/shared/unit.ts'
import { type Inbox, readInbox } from './inbox.ts'
import type { Outbox } from './outbox.ts'
import { createWants } from './wants.ts'

/** A unit, with the proof that this worker was given it. */
export interface GivenUnit extends UnitPayload {
  ticket: string
}

/** What a slot has from a master: one unit, or several short ones, in the order in which they run. */
export interface Entry {
  id: string
  units: [GivenUnit, ...GivenUnit[]]
  /** A slot had it before, and was lost or gave it back at once. */
  isAgain: boolean
}

export type Welcome = Extract<InboxMessage, { type: 'welcome' }>
export type Order = Exclude<InboxMessage, { type: 'units' | 'welcome' }>

export interface MasterLink {
  /**
   * Asks for the slot's next entry; undefined once the signal aborts first. One at a time for each slot. `isUrgent`: the slot
   * is free already.
   */
  ask(slot: string, queues: string[], signal: AbortSignal, isUrgent?: boolean): Promise<Entry | undefined>
  /** Outcomes of all its units are in the outbox's buffer. */
  release(entry: Entry): void
  /** Gives an entry back that no slot began. */
  giveBack(slot: string, entry: Entry): void
  stop(): Promise<void>
}

export interface LinkDeps {
  redis: Redis
  /** A connection of its own. */
  blocking: Redis
  outbox: Outbox
  workerId: string
  hostname: string
  version: string
  /** The first is the answer to `hello`. */
  onWelcome(welcome: Welcome): void
  onOrder(order: Order): void
  log: Logger
}

const HELLO_EVERY_MS = 3_000
const BUSY_STATE_MS = 1_000
const IDLE_STATE_MS = 2_500
/** No master seems to be there: what nobody reads is not to fill Redis. */
const ALONE_STATE_MS = 30_000
const ALONE_AFTER_MS = 60_000

export function openLink(deps: LinkDeps): MasterLink {
  const { outbox, hostname, version, log } = deps
  const instance = randomUUID()
  const wants = createWants()
  const waiting = new Map<string, (entry: Entry) => void>()
  let isOpen = false
  let saidAtMs = Number.NEGATIVE_INFINITY
  let lastHelloMs = Number.NEGATIVE_INFINITY
  let isStateOnItsWay = false

  function onMessage(message: InboxMessage): void {
    if (message.type === 'welcome') {
      if (message.instance !== null && message.instance !== instance) return
      if (!isOpen && message.instance === null) return
      const isFirst = !isOpen
      isOpen = true
      // It may be drained: what it asked for until now is not wanted any more then.
      deps.onWelcome(message)
      if (isFirst) for (const want of wants.state().wants) void outbox.add({ type: 'want', ...want })
    } else if (!isOpen) log.debug({ type: message.type }, 'A message to an earlier process of this worker')
    else if (message.type === 'units') onUnits(message)
    else deps.onOrder(message)
  }

  function onUnits(message: UnitsMessage): void {
    const { slot, entry } = message
    const arrived = wants.arrive(message)
    if (arrived === 'known') return
    if (arrived === 'elsewhere') {
      askAnew(slot)
      return
    }
    const given = toEntry(message)
    const resolve = waiting.get(slot)
    if (arrived === 'taken' && resolve) resolve(given)
    else {
      log.debug({ slot, entry }, 'An entry that the slot does not want any more goes back')
      giveBack(slot, given)
    }
  }

  /** With a new number: the master believes that the want of before was given an entry. */
  function askAnew(slot: string): void {
    const want = wants.state().wants.find(one => one.slot === slot)
    if (want) void outbox.add({ type: 'want', ...wants.ask(slot, want.queues) })
  }

  function giveBack(slot: string, entry: Entry): void {
    for (const { unitId, ticket } of entry.units)
      void outbox.add({
        type: 'returned',
        unitId,
        ticket,
        attemptId: randomUUID(),
        slot,
        entry: entry.id,
        hasBegun: false
      })
    wants.release(entry.id)
  }

  function hello(): void {
    lastHelloMs = performance.now()
    void outbox.add({ type: 'hello', instance, hostname, protocol: PROTOCOL_VERSION, version })
  }

  function sayState(): void {
    const { holding, wants: standing } = wants.state()
    const nowMs = performance.now()
    const isAlone = nowMs - inbox.lastReadMs > ALONE_AFTER_MS
    const everyMs = isAlone ? ALONE_STATE_MS : holding.length > 0 ? BUSY_STATE_MS : IDLE_STATE_MS
    // One that waits for Redis is enough.
    if (!isOpen || isStateOnItsWay || nowMs - saidAtMs < everyMs) return
    saidAtMs = nowMs
    isStateOnItsWay = true
    void outbox.add({ type: 'state', instance, holding, wants: standing }).then(() => {
      isStateOnItsWay = false
    })
  }

  const inbox: Inbox = readInbox({ ...deps, onMessage })
  hello()
  let wasConnected = deps.blocking.status === 'ready'
  /** What was on its way when the connection broke is lost, an order to drain, say. */
  const onReady = (): void => {
    const isAgain = wasConnected && performance.now() - lastHelloMs > BUSY_STATE_MS
    wasConnected = true
    if (isAgain) hello()
  }
  deps.blocking.on('ready', onReady)
  const helloTimer = setInterval(() => {
    if (isOpen) clearInterval(helloTimer)
    else if (deps.redis.status === 'ready') hello()
  }, HELLO_EVERY_MS)
  const stateTimer = setInterval(sayState, BUSY_STATE_MS / 4)

  return {
    ask: (slot, queues, signal, isUrgent = true) => {
      if (signal.aborted) return Promise.resolve(undefined)
      const { promise, resolve } = Promise.withResolvers<Entry | undefined>()
      const onAbort = (): void => {
        wants.withdraw(slot)
        resolve(undefined)
        // The master hears at once that the want does not stand any more.
        saidAtMs = Number.NEGATIVE_INFINITY
      }
      signal.addEventListener('abort', onAbort, { once: true })
      waiting.set(slot, resolve)
      const want = wants.ask(slot, queues)
      if (isOpen) void outbox.add({ type: 'want', ...want }, { isUrgent })
      return promise.finally(() => {
        signal.removeEventListener('abort', onAbort)
        if (waiting.get(slot) === resolve) waiting.delete(slot)
      })
    },
    release: ({ id }) => wants.release(id),
    giveBack,
    stop: async () => {
      clearInterval(helloTimer)
      clearInterval(stateTimer)
      deps.blocking.off('ready', onReady)
      await inbox.stop()
    }
  }
}

function toEntry({ entry, first, more, tickets, isAgain }: UnitsMessage): Entry {
  const units = [first, ...more.map(own => ({ ...first, ...own }))]
  const given = units.map((unit, at) => ({ ...unit, ticket: tickets[at] ?? '' }))
  return { id: entry, units: given as Entry['units'], isAgain }
}
