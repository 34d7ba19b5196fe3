/**
 * DESIGN: a slot is one GPU or one CPU lane. It owns the processes of its tasks and runs one unit at a time.
 *
 *   starting --child ready--> idle --unit taken--> running --outcome written, unit released--> idle
 *      ^  |                    ^ |                    |
 *      |  3 deaths at start    | drain, resume        | the child died
 *      |  v                    | v                    v
 *   out-of-service           draining              starting
 *
 * - starting: a child is on its way; START_TRIES deaths in a row put the slot out of service, with the last reason.
 * - out-of-service: tried again every RETRY_START_MS; takes no units.
 * - idle: waits on the markers of its queues, and looks at least every LOOK_AGAIN_MS.
 * - running: the lock is renewed by the lock keeper; `cancel` and `returnUnit` abort the attempt. The outcome is in the
 *   outbox before the unit's job leaves Redis: a worker that dies in between makes the unit run twice, never none.
 * - draining: takes nothing. A unit that runs goes on.
 * `stop` ends the loop and the child from every state. A new state needs a place in `slotStateSchema` of presence.
 */
import { toScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import type { SlotState } from '@sc/shared/presence.ts'
import { giveBack, release, type TakenUnit, takeNext, type UnitQueue, wakeNext } from '@sc/shared/queues.ts'
import type { Device } from '../python/command.ts'
import { runOnChild } from '../tasks/run-on-child.ts'
import type { SlotTasks } from '../tasks/slot-tasks.ts'
import type { Ready } from '../tasks/task-process.ts'
import { untilAborted } from '../until-aborted.ts'
import { type AttemptDeps, type Outcome, runAttempt, type StopReason } from './attempt.ts'
import type { LockKeeper } from './lock-keeper.ts'
import type { UnitWait } from './unit-wait.ts'

const START_TRIES = 3
const RETRY_START_MS = 30_000
const AFTER_FAILED_START_MS = 1_000
const AFTER_ERROR_MS = 1_000
const STOP_MS = 3_000
const NEVER = new AbortController().signal

export interface SlotDeps extends Omit<AttemptDeps, 'runTask' | 'slotId'> {
  id: string
  device: Device
  /** Most demanding first. */
  queues: UnitQueue[]
  /** Says who holds a lock; new for each worker process. */
  lockOwner: string
  wait: UnitWait
  locks: LockKeeper
  startChild(): SlotTasks
  /** Goes on beside a unit until the signal aborts; does not reject. */
  besideUnit(signal: AbortSignal): Promise<void>
  wasCancelled(unitId: string): boolean
  onReady(ready: Ready): void
  onOutcome(outcome: Outcome): void
  /** The state is another, or the unit that runs. */
  onChange(): void
  log: Logger
}

export class Slot {
  readonly #deps: SlotDeps
  readonly #stopping = new AbortController()
  #stateNow: SlotState['state'] = 'starting'
  #reason: string | null = null
  #draining = new AbortController()
  #resumed = Promise.withResolvers<void>()
  #child: SlotTasks | undefined
  #ready: Ready | undefined
  #failedStarts = 0
  #running: { unitId: string; stop: AbortController } | undefined
  #takenCount = 0
  #loop: Promise<void> | undefined

  constructor(deps: SlotDeps) {
    this.#deps = deps
  }

  get state(): SlotState {
    const { id, device } = this.#deps
    const draining = this.#draining.signal.aborted && this.#state === 'idle'
    const state = draining ? 'draining' : this.#state
    return { id, device, state, unitId: this.#running?.unitId ?? null, reason: this.#reason }
  }

  get isBusy(): boolean {
    return this.#running !== undefined
  }

  get childRssBytes(): number {
    return this.#child?.memory.rssBytes ?? 0
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  drain(): void {
    this.#draining.abort()
  }

  resume(): void {
    if (!this.#draining.signal.aborted) return
    this.#draining = new AbortController()
    this.#resumed.resolve()
    this.#resumed = Promise.withResolvers()
  }

  /** Stops the running unit, if it is one of these. */
  cancel(unitIds: string[]): void {
    if (this.#running && unitIds.includes(this.#running.unitId)) this.#stopUnit('cancelled')
  }

  /** Gives the running unit back. */
  returnUnit(): void {
    this.#stopUnit('returned')
  }

  /** Gives back what runs and ends the child. */
  async stop(): Promise<void> {
    this.drain()
    this.#stopping.abort()
    this.returnUnit()
    // While Redis is away the loop waits for it.
    await Promise.all([Promise.race([this.#loop, pause(STOP_MS, NEVER)]), this.#child?.stop()])
  }

  get #state(): SlotState['state'] {
    return this.#stateNow
  }

  set #state(next: SlotState['state']) {
    if (next === this.#stateNow) return
    this.#stateNow = next
    this.#deps.onChange()
  }

  #stopUnit(reason: StopReason): void {
    this.#running?.stop.abort(reason)
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      try {
        await this.#step()
      } catch (error) {
        if (signal.aborted) return
        this.#deps.log.error({ err: error, slot: this.#deps.id }, 'The slot goes on after an error')
        await pause(AFTER_ERROR_MS, signal)
      }
    }
  }

  async #step(): Promise<void> {
    if (!this.#child || this.#child.state === 'dead') return this.#startChild()
    this.#state = 'idle'
    if (this.#draining.signal.aborted) return this.#untilResumed()
    const taken = await this.#take()
    if (taken) await this.#runUnit(taken, this.#child)
  }

  async #startChild(): Promise<void> {
    if (this.#failedStarts < START_TRIES) this.#state = 'starting'
    const child = this.#deps.startChild()
    this.#child = child
    try {
      this.#ready = await untilAborted(child.ready, this.#stopping.signal)
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      return this.#onFailedStart(error)
    }
    this.#failedStarts = 0
    this.#reason = null
    this.#deps.onReady(this.#ready)
  }

  async #onFailedStart(error: unknown): Promise<void> {
    const { log, id } = this.#deps
    this.#failedStarts++
    const isOut = this.#failedStarts >= START_TRIES
    if (isOut) {
      this.#state = 'out-of-service'
      this.#reason = toScError(error).message
    }
    log.error({ err: error, slot: id, tries: this.#failedStarts }, 'A process of the slot did not start')
    await pause(isOut ? RETRY_START_MS : AFTER_FAILED_START_MS, this.#stopping.signal)
  }

  /** The next unit, or undefined after a wait without one. */
  async #take(): Promise<TakenUnit | undefined> {
    const { queues, wait } = this.#deps
    const first = await this.#takeNow()
    if (first) return first
    // A stop drains first.
    const marked = await wait.next(this.#draining.signal)
    if (!marked || this.#draining.signal.aborted) return undefined
    const taken = await this.#takeNow()
    // The marker belongs to a queue that this slot now leaves alone: another slot is to look.
    if (taken && taken.queue !== marked && queues.length > 1) await wakeNext(marked)
    return taken
  }

  async #takeNow(): Promise<TakenUnit | undefined> {
    const { queues, lockOwner, id } = this.#deps
    const taken = await takeNext(queues, `${lockOwner}-${id}-${this.#takenCount++}`)
    if (!taken) return undefined
    if (!this.#draining.signal.aborted) return taken
    await giveBack(taken)
    return undefined
  }

  async #runUnit(taken: TakenUnit, child: SlotTasks): Promise<void> {
    const { locks, besideUnit, wasCancelled, onOutcome, log, id } = this.#deps
    const { unit } = taken
    const stop = new AbortController()
    const beside = new AbortController()
    this.#state = 'running'
    this.#running = { unitId: unit.unitId, stop }
    locks.hold(taken)
    if (wasCancelled(unit.unitId)) stop.abort('cancelled')
    const runTask = runOnChild(child, this.#ready as Ready)
    try {
      const deps: AttemptDeps = { ...this.#deps, slotId: id, runTask }
      void besideUnit(beside.signal)
      const { outcome, written } = await runAttempt(deps, unit, stop.signal)
      onOutcome(outcome)
      // Not told to the master: the lock runs out and the unit runs again.
      if (!written) return
      await (outcome.type === 'returned' ? giveBack(taken) : release(taken))
    } catch (error) {
      log.debug({ err: error, unitId: unit.unitId }, 'The unit could not be released: another slot has it')
    } finally {
      beside.abort()
      locks.drop(taken)
      this.#running = undefined
    }
  }

  async #untilResumed(): Promise<void> {
    await untilAborted(this.#resumed.promise, this.#stopping.signal)
  }
}
