import type { Entry, MasterLink } from '../messaging/link.ts'
import type { Outbox } from '../messaging/outbox.ts'
import { createAskAhead } from './ask-ahead.ts'
import type { AttemptDeps } from './attempt.ts'
import type { Holds } from './holds.ts'
import type { RunTask } from './run-task.ts'

export interface NextEntry {
  /** Asks for the slot's next entry, if it has not asked yet; `isUrgent`: the slot is free already. */
  ask(isUrgent?: boolean): void
  /** The same task, during which it is asked shortly before the likely end. */
  askingAhead(runTask: RunTask): RunTask
  /** What was asked for; undefined: the slot has something else to do first. `isReady`: whether it could run an entry. */
  take(isReady: () => boolean): Promise<Entry | undefined>
  /** Asks no more; what has come already goes back. */
  returnIt(): Promise<void>
  /** Asks no more. */
  withdraw(): void
}

export interface NextEntryDeps {
  id: string
  link: Pick<MasterLink, 'ask' | 'giveBack'>
  holds: Holds
  fetchFiles: AttemptDeps['fetchFiles']
  outbox: Pick<Outbox, 'roundTripMs'>
  /** Those that the slot serves now. */
  queues(): string[]
}

const LOOK_MS = 500

/** The next entry of one slot, which may be asked for while the one before it runs. */
export function createNextEntry({ id, link, holds, fetchFiles, outbox, queues }: NextEntryDeps): NextEntry {
  let next: Promise<Entry | undefined> | undefined
  let asking = new AbortController()
  let isAwaited = false

  /** So that its files are here when it begins; should they not come, that is said then. */
  function fetchMeanwhile(entry: Entry | undefined, signal: AbortSignal): void {
    for (const unit of entry?.units ?? [])
      fetchFiles(unit, signal).then(
        files => files.release(),
        () => {}
      )
  }

  function ask(isUrgent = true): void {
    if (next) return
    asking = new AbortController()
    // Held already: there is nothing to ask for.
    if (holds.signal.aborted) asking.abort()
    const { signal } = asking
    next = link.ask(id, queues(), signal, isUrgent).then(entry => {
      if (!isAwaited) fetchMeanwhile(entry, signal)
      return entry
    })
  }

  async function returnIt(): Promise<void> {
    const asked = next
    next = undefined
    asking.abort()
    const entry = await asked
    if (entry) link.giveBack(id, entry)
  }

  return {
    ask,
    askingAhead: createAskAhead({
      roundTripMs: () => outbox.roundTripMs,
      ask,
      giveBack: () => void returnIt()
    }),
    take: async isReady => {
      isAwaited = true
      const looking = setInterval(() => {
        if (!isReady()) asking.abort()
      }, LOOK_MS)
      try {
        const entry = await next
        if (!entry || (isReady() && !holds.signal.aborted)) return entry
        link.giveBack(id, entry)
        return undefined
      } finally {
        clearInterval(looking)
        isAwaited = false
        next = undefined
      }
    },
    returnIt,
    withdraw: () => asking.abort()
  }
}
