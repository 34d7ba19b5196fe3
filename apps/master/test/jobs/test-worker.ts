import { randomUUID } from 'node:crypto'
import { type InboxMessage, inboxMessageSchema, type UnitsMessage } from '@sc/shared/inbox-message.ts'
import type { Holding, OutboxMessage, SlotWant } from '@sc/shared/outbox-message.ts'
import { inboxKey, outboxKey, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import type { UnitPayload } from '@sc/shared/unit.ts'
import type { Redis } from 'ioredis'
import { unitsOf } from '../../src/queues/queue-entry.ts'
import type { Tickets } from '../../src/transport/tickets.ts'

/** An entry that the test took as a slot. */
export interface Taken {
  entry: string
  units: [UnitPayload, ...UnitPayload[]]
  isAgain: boolean
  tickets: string[]
}

/** What a test says of an attempt; the ticket is the right one unless it names another. */
export type Said = OutboxMessage extends infer M
  ? M extends { ticket: string }
    ? Omit<M, 'ticket'> & { ticket?: string }
    : M
  : never

/** A worker that is played by the test: it writes to a real outbox and reads a real inbox. */
export interface TestWorker {
  readonly id: string
  /** Asks for an entry; null when none comes within `waitMs`. Each call is a slot of its own. */
  take(queue: string, waitMs?: number): Promise<Taken | null>
  say(message: Said): Promise<void>
  /** Orders and welcomes that came. */
  readonly orders: InboxMessage[]
  /** It gives no sign of life any more. */
  die(): void
  /** A new process of the worker, after `die` or Redis was emptied. */
  begin(): Promise<void>
  stop(): void
}

const STATE_EVERY_MS = 500
const LOOK_MS = 10
const MOST_READ = 1_000

export function createTestWorker(redis: Redis, tickets: Tickets, id: string): TestWorker {
  let instance = ''
  let slots = 0
  const wants = new Map<string, SlotWant>()
  const holding = new Map<string, Holding & { open: Set<string> }>()
  const arrived = new Map<string, UnitsMessage>()
  const orders: InboxMessage[] = []
  let timer: NodeJS.Timeout | undefined

  const write = async (...messages: OutboxMessage[]): Promise<void> =>
    void (await redis.xadd(outboxKey(id), '*', 'm', JSON.stringify(messages)))

  let reading: Promise<void> = Promise.resolve()
  /** One at a time: what is read twice would be given back. */
  function read(): Promise<void> {
    reading = reading.then(readOnce, readOnce)
    return reading
  }

  async function readOnce(): Promise<void> {
    const texts = (await redis.lpop(inboxKey(id), MOST_READ)) ?? []
    for (const text of texts) {
      for (const one of JSON.parse(text)) {
        const message = inboxMessageSchema.parse(one)
        if (message.type !== 'units') orders.push(message)
        else if (wants.get(message.slot)?.want === message.want) accept(message)
        else await giveBack(message)
      }
    }
  }

  function accept(message: UnitsMessage): void {
    const { slot, entry, queue, ticket, first, more } = message
    wants.delete(slot)
    holding.set(entry, { entry, queue, slot, ticket, open: new Set([first.unitId, ...more.map(one => one.unitId)]) })
    arrived.set(slot, message)
  }

  async function giveBack({ first, more, slot, entry }: UnitsMessage): Promise<void> {
    for (const { unitId } of [first, ...more])
      await worker.say({ type: 'returned', unitId, attemptId: randomUUID(), slot, entry, hasBegun: false })
  }

  async function sayState(): Promise<void> {
    const held = [...holding.values()].map(({ open: _, ...one }) => one)
    await write({ type: 'state', instance, holding: held, wants: [...wants.values()] })
  }

  const worker: TestWorker = {
    id,
    orders,
    take: async (queue, waitMs = 250) => {
      if (!timer) await worker.begin()
      const slot = `t${slots++}`
      const want = { slot, want: 1, queues: [queue] }
      wants.set(slot, want)
      await write({ type: 'want', ...want })
      const endMs = performance.now() + waitMs
      while (!arrived.has(slot) && performance.now() < endMs) {
        await read()
        await new Promise(resolve => setTimeout(resolve, LOOK_MS))
      }
      if (!arrived.has(slot)) {
        // What comes after all goes back.
        wants.delete(slot)
        await sayState()
        await read()
      }
      const message = arrived.get(slot)
      if (!message) return null
      const { entry, first, more, isAgain, tickets: given } = message
      return { entry, units: unitsOf({ ...first, more }), isAgain, tickets: given }
    },
    say: async message => {
      const isAttempt = 'unitId' in message
      const ticket = isAttempt ? (message.ticket ?? tickets.unit(id, message.unitId)) : undefined
      await write((isAttempt ? { ...message, ticket } : message) as OutboxMessage)
      if (!isAttempt || !['result', 'error', 'returned'].includes(message.type)) return
      for (const [entry, { open }] of holding) {
        open.delete(message.unitId)
        if (open.size === 0) holding.delete(entry)
      }
    },
    die: () => {
      clearInterval(timer)
      timer = undefined
    },
    begin: async () => {
      worker.die()
      instance = randomUUID()
      wants.clear()
      holding.clear()
      arrived.clear()
      await write({ type: 'hello', instance, hostname: 'desk', protocol: PROTOCOL_VERSION, version: '0.0.0' })
      timer = setInterval(
        () =>
          void read()
            .then(sayState)
            .catch(() => {}),
        STATE_EVERY_MS
      )
    },
    stop: () => worker.die()
  }
  return worker
}
