/**
 * DESIGN: entries that a worker holds and this master does not know: another master gave them, or this one before its restart.
 * Each is a few questions to Redis, and a ticket is good for ever. So what a worker can make a master ask is bounded:
 *
 *   state --unknown--> next (a newer state replaces it) --one loop for each link--> asked for --found--> held
 *                                                                                      \--not found--> missing: not asked again
 *
 * An honest worker names what is missing, too, as long as it runs it: that is no offence. More than all its slots can hold,
 * and then some each second, is.
 */
import { type Holding, MOST_SLOTS } from '@sc/shared/outbox-message.ts'
import type { Logger } from 'pino'
import type { TakenEntry } from '../queues/queues.ts'
import { type Links, newHeld, type ServedLink } from './links.ts'
import type { Gravity } from './parse-outbox.ts'
import type { Tickets } from './tickets.ts'

export interface AdoptDeps {
  links: Pick<Links, 'isServed'>
  tickets: Pick<Tickets, 'isEntry'>
  log: Logger
  /** The entry, if the worker has it in Redis, too. */
  find(holding: Holding, workerId: string): Promise<TakenEntry | undefined>
  onRefused(workerId: string, reason: string, gravity: Gravity): void
}

/** Entries that one worker can hold. */
const MOST_AT_ONCE = 2 * MOST_SLOTS
/** Of those that come on top: a worker that was cut off. */
const MORE_A_SECOND = 16
const MOST_MISSING = 2 * MOST_AT_ONCE

interface Adopting {
  /** What is to be looked at, as of the newest state. */
  next: Holding[] | undefined
  isRunning: boolean
  missing: Set<string>
  /** Questions that may still be asked, at that time. */
  left: number
  leftMs: number
}

/** Answers what is to be done with entries that a worker says it holds. */
export function createAdopt(deps: AdoptDeps): (link: ServedLink, holding: Holding[]) => void {
  const { links, tickets, log } = deps
  const ofLinks = new WeakMap<ServedLink, Adopting>()

  function of(link: ServedLink): Adopting {
    let one = ofLinks.get(link)
    if (!one) {
      const leftMs = performance.now()
      one = { next: undefined, isRunning: false, missing: new Set(), left: MOST_AT_ONCE, leftMs }
      ofLinks.set(link, one)
    }
    return one
  }

  function mayAsk(one: Adopting): boolean {
    const nowMs = performance.now()
    one.left = Math.min(MOST_AT_ONCE, one.left + ((nowMs - one.leftMs) / 1_000) * MORE_A_SECOND)
    one.leftMs = nowMs
    if (one.left < 1) return false
    one.left--
    return true
  }

  async function run(link: ServedLink, one: Adopting): Promise<void> {
    for (let holding = one.next; holding; holding = one.next) {
      one.next = undefined
      for (const each of holding) {
        if (one.next || !links.isServed(link)) break
        if (link.has(each.entry) || one.missing.has(nameOf(each))) continue
        if (!mayAsk(one)) {
          deps.onRefused(link.workerId, 'it holds more entries than it can have been given', 'wrong')
          break
        }
        await look(link, one, each)
      }
    }
  }

  async function look(link: ServedLink, { missing }: Adopting, holding: Holding): Promise<void> {
    const taken = await deps.find(holding, link.workerId)
    if (taken && links.isServed(link) && !link.has(holding.entry))
      link.give(holding.slot, null, newHeld(taken), performance.now())
    if (taken) return
    missing.add(nameOf(holding))
    const [oldest] = missing
    if (missing.size > MOST_MISSING && oldest !== undefined) missing.delete(oldest)
  }

  return (link, holding) => {
    const one = of(link)
    const { workerId } = link
    one.next = holding.filter(each => {
      if (one.missing.has(nameOf(each)) || tickets.isEntry(each.ticket, workerId, each.queue, each.entry)) return true
      deps.onRefused(workerId, `it holds the entry ${each.entry}, which it was not given`, 'wrong')
      return false
    })
    if (one.isRunning) return
    one.isRunning = true
    void run(link, one)
      .catch(error => log.debug({ err: error }, 'taking over units failed'))
      .finally(() => {
        one.isRunning = false
      })
  }
}

function nameOf({ queue, entry }: Holding): string {
  return `${queue} ${entry}`
}
