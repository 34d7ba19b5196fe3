/**
 * DESIGN: what the master that serves a worker knows of it: which wants stand, and which entries it holds. Pure: no Redis,
 * no clock. `links.ts` keeps one for each worker, `match.ts` gives, `outboxes.ts` reads.
 *
 *   want:   standing --give--> given --entry released or lost--> (the slot's next want; the same one again if it was lost)
 *   entry:  given --state names it--> alive --every outcome read--> reported --outcomes in PostgreSQL--> released
 *              |                            \--the outcome counts for nothing--> dropped: back into its queue
 *              \________no sign for LOST_MS, or not begun BEGIN_MS after it was given________/--> lost: back into its queue
 *
 * Invariants, explored state by state in `test/transport-model.test.ts`:
 *   T1 a want is given one entry, and another only after that one was lost, or is over by what came of its units elsewhere.
 *   T2 an entry is lost only while no outcome of all its units was read.
 *   T3 what a worker process held is lost with it: a `hello`, or a state of another instance.
 *   T4 what only the worker knows (this master took over, Redis was emptied) comes back with its next state.
 * A worker may have one entry too many (two masters, a late message): the slot returns it, since its want has another.
 */
import { type Holding, MOST_SLOTS, type OutboxMessage, type SlotWant } from '@sc/shared/outbox-message.ts'

/** A worker that holds something gives a sign of life every second. */
export const LOST_MS = 3_500
/**
 * A worker says that a unit started before it fetches its files, and gives back soon what waits behind others: of what it has
 * for so long it has begun all that there is, but for the unit that runs.
 */
export const BEGIN_MS = 30_000
/** Entries that a slot may hold: one that runs and the next. */
const MOST_OF_A_SLOT = 2

type State = Pick<Extract<OutboxMessage, { type: 'state' }>, 'instance' | 'holding' | 'wants'>

/** An entry that the worker holds, as far as this master knows. `T` is what the caller needs to release it. */
export interface Held<T> {
  readonly entry: string
  readonly slot: string
  readonly taken: T
  /** Units whose outcome was not read yet. */
  readonly unread: Set<string>
  /** Units whose outcome is not in PostgreSQL yet. */
  readonly open: Set<string>
  readonly sinceMs: number
  /** Another master gave it, longer ago than `sinceMs`. */
  readonly isAdopted: boolean
  /** The longest that its units may take, together. */
  readonly deadlineMs: number
  signMs: number
  /** When it must have begun. */
  beginByMs: number
  /** Some attempt at one of its units is known. */
  isBegun: boolean
  /** An outcome of a unit other than that it came back is in PostgreSQL. */
  hasEnded: boolean
}

export interface Link<T> {
  /** A new process of the worker: answers what those before it held. */
  hello(instance: string): Held<T>[]
  /** True: it stands, and did not before. */
  want(want: SlotWant): boolean
  /** Answers what the worker holds without this master knowing, and what is lost with an earlier process. */
  state(state: State, nowMs: number): { unknown: Holding[]; lost: Held<T>[] }
  /** Wants that no entry was given to, the oldest first. */
  standing(): SlotWant[]
  /** Whether the slot has an entry already, and asks for the next one. */
  isBusy(slot: string): boolean
  isStanding(want: SlotWant): boolean
  /** An entry goes to this want, or is known to be with this slot (`want` null). */
  give(slot: string, want: number | null, held: NewHeld<T>, nowMs: number): void
  has(entry: string): boolean
  /** The entry in which the worker holds the unit. */
  entryOf(unitId: string): string | undefined
  /** Whether the unit is in an entry that the worker holds. */
  knows(unitId: string): boolean
  held(): Held<T>[]
  /** Since when the worker has had the unit at the most; undefined: longer than this master knows. */
  hadSinceMs(unitId: string): number | undefined
  /** An attempt at the unit began. True: the first of its entry. */
  began(unitId: string): boolean
  /** The outcome of a unit was read. */
  reported(unitId: string): void
  /** What was read of the unit's outcome says nothing of this entry. */
  unreported(unitId: string): void
  /** Outcomes of these units are in PostgreSQL: answers the entries that are over. */
  settled(unitIds: Iterable<string>, isReturn?: boolean): Held<T>[]
  /** Entries of which no sign came for LOST_MS, or that did not begin in time; the worker holds them no more. */
  lost(nowMs: number): Held<T>[]
  /** Forgets an entry, and answers it. */
  drop(entry: string): Held<T> | undefined
  /** Nothing could be read for a while: no silence counts from before `nowMs`. */
  forgive(nowMs: number): void
}

export type NewHeld<T> = Pick<Held<T>, 'entry' | 'taken' | 'deadlineMs'> & { unitIds: string[] }

export function createLink<T>(): Link<T> {
  let instance: string | null = null
  let standing = new Map<string, SlotWant>()
  /** Of each slot the last want that was given an entry. */
  let given = new Map<string, { want: number; entry: string }>()
  /** Of each slot the highest want. */
  let highest = new Map<string, number>()
  const entries = new Map<string, Held<T>>()
  const entryOfUnit = new Map<string, string>()

  function drop(entry: string): Held<T> | undefined {
    const held = entries.get(entry)
    if (!held) return undefined
    entries.delete(entry)
    for (const unitId of held.open) if (entryOfUnit.get(unitId) === entry) entryOfUnit.delete(unitId)
    for (const unitId of held.unread) if (entryOfUnit.get(unitId) === entry) entryOfUnit.delete(unitId)
    if (given.get(held.slot)?.entry === entry) given.delete(held.slot)
    return held
  }

  function take(isLost: (held: Held<T>) => boolean): Held<T>[] {
    const lost = [...entries.values()].filter(held => held.unread.size > 0 && isLost(held))
    for (const { entry } of lost) drop(entry)
    return lost
  }

  /** Another process of the worker: nothing of what is known is of it. */
  function begin(next: string): Held<T>[] {
    instance = next
    standing = new Map()
    given = new Map()
    highest = new Map()
    return take(() => true)
  }

  function stand(want: SlotWant): boolean {
    const before = highest.get(want.slot) ?? 0
    const isGiven = given.get(want.slot)?.want === want.want
    if (want.want < before || isGiven || standing.get(want.slot)?.want === want.want) return false
    if (!highest.has(want.slot) && highest.size >= MOST_SLOTS) return false
    highest.set(want.slot, want.want)
    // Behind the others: who waits longest goes first.
    standing.delete(want.slot)
    standing.set(want.slot, want)
    return true
  }

  function openOf(slot: string): number {
    let open = 0
    for (const held of entries.values()) if (held.slot === slot && held.unread.size > 0) open++
    return open
  }

  return {
    // It is repeated until it is answered.
    hello: next => (next === instance ? [] : begin(next)),
    want: stand,
    state: ({ instance: next, holding, wants }, nowMs) => {
      // The first that is heard of it may be of a process that another master welcomed.
      const lost = instance !== null && next !== instance ? begin(next) : []
      instance = next
      for (const { entry } of holding) {
        const held = entries.get(entry)
        if (held) held.signMs = nowMs
      }
      const named = new Map(wants.map(want => [want.slot, want.want]))
      for (const { slot, want } of standing.values()) if (named.get(slot) !== want) standing.delete(slot)
      for (const want of wants) {
        if (highest.has(want.slot)) highest.set(want.slot, want.want)
        stand(want)
      }
      return { unknown: holding.filter(({ entry }) => !entries.has(entry)), lost }
    },
    standing: () => [...standing.values()].filter(({ slot }) => openOf(slot) < MOST_OF_A_SLOT),
    isBusy: slot => openOf(slot) > 0,
    isStanding: ({ slot, want }) => standing.get(slot)?.want === want,
    give: (slot, want, { entry, taken, deadlineMs, unitIds }, nowMs) => {
      if (want !== null) {
        standing.delete(slot)
        given.set(slot, { want, entry })
      }
      const [unread, open] = [new Set(unitIds), new Set(unitIds)]
      // What another master gave is with a slot for a while by now.
      const isAdopted = want === null
      const isBegun = isAdopted
      const times = { sinceMs: nowMs, signMs: nowMs, beginByMs: nowMs + BEGIN_MS, deadlineMs }
      entries.set(entry, { entry, slot, taken, unread, open, ...times, isAdopted, isBegun, hasEnded: false })
      for (const unitId of unitIds) entryOfUnit.set(unitId, entry)
    },
    has: entry => entries.has(entry),
    entryOf: unitId => entryOfUnit.get(unitId),
    knows: unitId => entryOfUnit.has(unitId),
    held: () => [...entries.values()],
    hadSinceMs: unitId => {
      const held = entries.get(entryOfUnit.get(unitId) ?? '')
      return held?.isAdopted ? undefined : held?.sinceMs
    },
    began: unitId => {
      const held = entries.get(entryOfUnit.get(unitId) ?? '')
      if (!held || held.isBegun) return false
      held.isBegun = true
      return true
    },
    reported: unitId => {
      entries.get(entryOfUnit.get(unitId) ?? '')?.unread.delete(unitId)
    },
    unreported: unitId => {
      entries.get(entryOfUnit.get(unitId) ?? '')?.unread.add(unitId)
    },
    settled: (unitIds, isReturn = false) => {
      const over: Held<T>[] = []
      for (const unitId of unitIds) {
        const held = entries.get(entryOfUnit.get(unitId) ?? '')
        held?.unread.delete(unitId)
        if (held && !isReturn) held.hasEnded = true
        if (held?.open.delete(unitId) && held.open.size === 0) over.push(held)
        entryOfUnit.delete(unitId)
      }
      for (const { entry } of over) drop(entry)
      return over
    },
    lost: nowMs => take(held => nowMs - held.signMs > LOST_MS || isIdle(held, nowMs)),
    drop,
    forgive: nowMs => {
      for (const held of entries.values()) {
        held.signMs = nowMs
        held.beginByMs = Math.max(held.beginByMs, nowMs + BEGIN_MS)
      }
    }
  }
}

function isIdle({ beginByMs, isBegun, unread }: Held<unknown>, nowMs: number): boolean {
  return nowMs > beginByMs && (!isBegun || unread.size > 1)
}
