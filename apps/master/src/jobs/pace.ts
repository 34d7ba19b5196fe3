/**
 * How long units take lately, and from that how many of a task travel as one queue entry. What a slot does between two
 * entries (take, say, release) takes a few ms: units that are shorter than that go together, as many as TOGETHER_MS hold.
 *
 * Of each worker the mean counts, and of these the median: of the workers, or of the units that they did lately, whichever
 * is quicker. So no worker that is slow, or keeps units, ends the travelling together of all others; where most are slow,
 * their slots give back what has to wait.
 * Known to this process only, and learned anew within LEAST_SEEN units: nothing but speed depends on it.
 */
export interface Pace {
  /** Its worker held it: who answers units that others have says nothing here. */
  finished(unit: { task: string; queue: string }, workerId: string, ranMs: number): void
  /** Units of the queue in the last second. */
  recentOf(queue: string): number
  /** How many units of a task make an entry; a task that is not named: one. */
  together(): Record<string, number>
  /** The most that `together` says of a task of this queue. */
  togetherIn(queue: string): number
}

const RECENT_MS = 1_000
/** No head is larger. */
const MOST_COUNTED = 2_000
/** Short enough that nobody notices having waited behind it. */
const TOGETHER_MS = 50
const MOST_TOGETHER = 100
/** An entry of one takes so long beside the task itself. */
const LEAST_MS = 0.25
const LEAST_SEEN = 20
/** Of one worker the mean is of so many units, */
const REMEMBERED = 64
/** less so many of those that took longest: one that the machine held up for 300 ms says nothing of the others, */
const HELD_UP = 2
/** where it was not for longer. */
const HELD_UP_MS = 1_000
/** After so many units of a task what each worker did of them counts half, until it is forgotten. */
const HALVED_AFTER = 512
/** Who has done nothing of a task for so long, while others did, says nothing of it. */
const GONE_MS = 60_000

interface Lately {
  /** How long its last units took. */
  times: number[]
  meanMs: number | undefined
  /** How many it did, the later ones more. */
  weight: number
  lastMs: number
}

export function createPace(): Pace {
  /** Of each task, what each worker did of it. */
  const lately = new Map<string, { units: number; workers: Map<string, Lately> }>()
  const tasksIn = new Map<string, Set<string>>()
  const ends = new Map<string, number[]>()

  function sizeOf(task: string): number {
    const workers = [...(lately.get(task)?.workers.values() ?? [])]
    if (workers.reduce((sum, { times }) => sum + times.length, 0) < LEAST_SEEN) return 1
    const most = Math.floor(TOGETHER_MS / Math.max(LEAST_MS, paceOf(workers)))
    return Math.max(1, Math.min(MOST_TOGETHER, most))
  }

  function note(task: string, workerId: string, ranMs: number): void {
    const of = lately.get(task) ?? { units: 0, workers: new Map<string, Lately>() }
    lately.set(task, of)
    const worker = of.workers.get(workerId) ?? { times: [], meanMs: undefined, weight: 0, lastMs: 0 }
    of.workers.set(workerId, worker)
    worker.times.push(ranMs)
    if (worker.times.length > REMEMBERED) worker.times.shift()
    worker.meanMs = undefined
    worker.weight++
    worker.lastMs = performance.now()
    if (++of.units % HALVED_AFTER !== 0) return
    for (const [id, one] of of.workers) {
      one.weight /= 2
      if (one.weight < 1) of.workers.delete(id)
    }
  }

  return {
    finished: ({ task, queue }, workerId, ranMs) => {
      note(task, workerId, ranMs)
      tasksIn.set(queue, (tasksIn.get(queue) ?? new Set()).add(task))
      const times = ends.get(queue) ?? []
      times.push(performance.now())
      if (times.length > MOST_COUNTED) times.shift()
      ends.set(queue, times)
    },
    recentOf: queue => {
      const times = ends.get(queue) ?? []
      const fromMs = performance.now() - RECENT_MS
      const at = times.findIndex(time => time >= fromMs)
      times.splice(0, at === -1 ? times.length : at)
      return times.length
    },
    together: () => {
      const sizes = [...lately.keys()].map(task => [task, sizeOf(task)] as const)
      return Object.fromEntries(sizes.filter(([, size]) => size > 1))
    },
    togetherIn: queue => Math.max(1, ...[...(tasksIn.get(queue) ?? [])].map(sizeOf))
  }
}

function paceOf(all: Lately[]): number {
  const newestMs = Math.max(...all.map(({ lastMs }) => lastMs))
  const workers = all.filter(({ lastMs }) => newestMs - lastMs < GONE_MS)
  for (const worker of workers) worker.meanMs ??= meanOf(worker.times)
  const sorted = workers.map(({ meanMs = 0, weight }) => ({ meanMs, weight })).sort((a, b) => a.meanMs - b.meanMs)
  const middle = sorted[Math.floor((sorted.length - 1) / 2)]?.meanMs ?? 0
  let left = sorted.reduce((sum, { weight }) => sum + weight, 0) / 2
  const ofUnits = sorted.find(({ weight }) => {
    left -= weight
    return left <= 0
  })
  return Math.min(middle, ofUnits?.meanMs ?? middle)
}

function meanOf(times: number[]): number {
  const sorted = times.toSorted((a, b) => a - b)
  const leftOut = Math.min(HELD_UP, Math.floor((HELD_UP * sorted.length) / LEAST_SEEN))
  const heldUp = sorted.splice(sorted.length - leftOut).filter(ms => ms >= HELD_UP_MS)
  return [...sorted, ...heldUp].reduce((sum, ms) => sum + ms, 0) / (sorted.length + heldUp.length)
}
