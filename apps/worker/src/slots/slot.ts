/**
 * DESIGN: a slot is one GPU or one CPU lane. It owns one Python process and runs one unit at a time.
 *
 *   starting --child ready--> idle --entry arrives--> running --outcomes on their way--> idle
 *      ^  |                    ^ |                    |
 *      |  3 deaths at start    | free, held           | the child died, or has had too much memory
 *      |  v                    | v                    v
 *   out-of-service    draining, reserved           starting
 *
 * - starting: a child is on its way; START_TRIES deaths in a row put the slot out of service, with the last reason.
 * - out-of-service: tried again every RETRY_START_MS; takes no units.
 * - idle: its want stands with the masters. Its child is looked at meanwhile.
 * - running: `cancel` and `stop` abort attempts. The next want goes with the outcomes, or shortly before (`ask-ahead.ts`);
 *   while it runs an entry of several short units, the want for the next one stands already. A worker that dies makes a
 *   unit run twice, never none.
 * - draining, reserved: takes nothing while something in `holds.ts` holds. A unit that runs goes on. Then the child is
 *   ended: the machine's memory is its owner's.
 * Which queues it serves follows from its child's tasks: until the first child is ready, those that every worker serves.
 * `stop` ends the loop and the child from every state. A new state needs a place in `slotStateSchema` of presence.
 */
import { toScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import type { SlotState } from '@sc/shared/presence.ts'
import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import type { Entry, MasterLink } from '../messaging/link.ts'
import type { Device } from '../python/command.ts'
import { runOnChild } from '../tasks/run-on-child.ts'
import type { SlotTasks } from '../tasks/slot-tasks.ts'
import type { Ready } from '../tasks/task-process.ts'
import { untilAborted } from '../until-aborted.ts'
import type { AttemptDeps, Outcome } from './attempt.ts'
import { createHolds, type Hold } from './holds.ts'
import { createNextEntry, type NextEntry } from './next-entry.ts'
import { type EntryRun, runEntry } from './run-entry.ts'

const START_TRIES = 3
const RETRY_START_MS = 30_000
const AFTER_FAILED_START_MS = 1_000
const AFTER_ERROR_MS = 1_000
const STOP_MS = 3_000
/** So long an entry waits behind one of short units; see `run-entry.ts`. */
const NEXT_WAITS_MS = 1_000
const NEVER = new AbortController().signal

export interface SlotDeps extends Omit<AttemptDeps, 'runTask' | 'slotId'> {
  id: string
  device: Device
  link: Pick<MasterLink, 'ask' | 'release' | 'giveBack'>
  /** Names of the queues to serve with these tasks, most demanding first. */
  queuesFor(tasks: TaskDescription[]): string[]
  startChild(): SlotTasks
  /** Between units, a child that is larger is replaced by a new one. */
  maxChildBytes(): number
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
  readonly #holds = createHolds()
  #queues: string[] = []
  readonly #next: NextEntry
  #child: SlotTasks | undefined
  #ready: Ready | undefined
  #failedStarts = 0
  #running: EntryRun | undefined
  #unitsOfChild = 0
  #ranOut = false
  #loop: Promise<void> | undefined

  constructor(deps: SlotDeps) {
    this.#deps = deps
    this.#next = createNextEntry({ ...deps, holds: this.#holds, queues: () => this.#queues })
  }

  /** The queues that it serves, most demanding first. */
  get queues(): string[] {
    return this.#queues
  }

  get state(): SlotState {
    const { id, device } = this.#deps
    const held = this.#state === 'idle' ? this.#holds.first() : null
    const shown = held && (held.hold === 'reserved' ? 'reserved' : 'draining')
    const reason = held?.reason ?? this.#reason
    return { id, device, state: shown ?? this.#state, unitId: this.#running?.unitId ?? null, reason }
  }

  get isBusy(): boolean {
    return this.#running !== undefined
  }

  get childRssBytes(): number {
    return this.#child?.memory.rssBytes ?? 0
  }

  get childPids(): number[] {
    return this.#child?.pids ?? []
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  /** Takes no units, for this reason, until it is freed of it. */
  hold(hold: Hold, reason: string): void {
    this.#holds.add(hold, reason)
    this.#next.withdraw()
    this.#deps.onChange()
  }

  free(hold: Hold): void {
    this.#holds.remove(hold)
    this.#deps.onChange()
  }

  /** Stops those of these units that it has. */
  cancel(unitIds: string[]): void {
    this.#running?.stop('cancelled', unitIds)
  }

  /** Gives back what runs and ends the child. */
  async stop(): Promise<void> {
    this.hold('stopping', 'it is stopping')
    this.#stopping.abort()
    this.#running?.stop('returned')
    // While Redis is away the loop waits for it.
    await Promise.all([Promise.race([this.#loop, pause(STOP_MS, NEVER)]), this.#child?.stop()])
    await this.#next.returnIt()
  }

  get #state(): SlotState['state'] {
    return this.#stateNow
  }

  set #state(next: SlotState['state']) {
    if (next === this.#stateNow) return
    this.#stateNow = next
    this.#deps.onChange()
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
    const child = this.#child
    const isGone = !child || child.state === 'dead'
    const spent = isGone ? null : this.#spent(child)
    if (isGone || spent || this.#holds.signal.aborted) await this.#next.returnIt()
    if (isGone) return this.#startChild()
    if (spent) return this.#replace(child, spent)
    this.#state = 'idle'
    if (this.#holds.signal.aborted) return this.#untilFree(child)
    this.#next.ask()
    const entry = await this.#next.take(() => this.#canRun(child))
    if (entry) await this.#runUnits(entry, child)
  }

  #canRun(child: SlotTasks): boolean {
    return child.state !== 'dead' && this.#spent(child) === null
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
    this.#unitsOfChild = 0
    this.#ranOut = false
    // The master is told first: it lets the worker into queues of tasks that it registered.
    this.#deps.onReady(this.#ready)
    this.#queues = this.#deps.queuesFor(this.#ready.tasks)
    this.#deps.onChange()
  }

  /** Why a new child must take its place. One that is too large before its first unit would be so again. */
  #spent(child: SlotTasks): string | null {
    if (this.#unitsOfChild > 0 && child.memory.rssBytes > this.#deps.maxChildBytes()) return 'has grown'
    return this.#ranOut ? 'ran out of memory' : null
  }

  #replace(child: SlotTasks, why: string): Promise<void> {
    const { maxChildBytes, log, id } = this.#deps
    const { rssBytes } = child.memory
    log.info({ slot: id, rssBytes, maxBytes: maxChildBytes() }, `The process ${why}: it is replaced, with its models`)
    return child.stop()
  }

  async #onFailedStart(error: unknown): Promise<void> {
    const { log, id } = this.#deps
    this.#failedStarts++
    const isOut = this.#failedStarts >= START_TRIES
    if (isOut) {
      this.#state = 'out-of-service'
      this.#reason = toScError(error).message
    }
    log.error({ err: error, slot: id, tries: this.#failedStarts }, 'The Python process of the slot did not start')
    await pause(isOut ? RETRY_START_MS : AFTER_FAILED_START_MS, this.#stopping.signal)
  }

  async #runUnits(entry: Entry, child: SlotTasks): Promise<void> {
    const { link, wasCancelled, onOutcome, id } = this.#deps
    const isOneOfMany = entry.units.length > 1
    const onChild = runOnChild(child, this.#ready as Ready)
    const runTask = isOneOfMany ? onChild : this.#next.askingAhead(onChild)
    const run = runEntry({ ...this.#deps, slotId: id, runTask }, entry)
    this.#running = run
    this.#state = 'running'
    this.#unitsOfChild += entry.units.length
    run.stop('cancelled', entry.units.map(({ unitId }) => unitId).filter(wasCancelled))
    if (isOneOfMany) this.#next.ask(false)
    // One of them was not short: what was asked for is not to wait for its end.
    const giveBack = isOneOfMany ? setTimeout(() => void this.#next.returnIt(), NEXT_WAITS_MS) : undefined
    try {
      const { outcomes } = await run.ended
      this.#ranOut = outcomes.some(one => one.type === 'error' && one.error.code === 'SC_OUT_OF_MEMORY')
      for (const outcome of outcomes) onOutcome(outcome)
    } finally {
      clearTimeout(giveBack)
      link.release(entry)
      this.#running = undefined
    }
  }

  async #untilFree(child: SlotTasks): Promise<void> {
    const { freed } = this.#holds
    await child.stop()
    await untilAborted(freed, this.#stopping.signal)
  }
}
