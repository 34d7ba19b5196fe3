/**
 * How long units take lately, and from that how many of a task travel as one queue entry. What a slot does between two
 * entries (take, say, release) takes a few ms: units that are shorter than that go together, as many as TOGETHER_MS hold.
 * Known to this process only, and learned anew within LEAST_SEEN units: nothing but speed depends on it.
 */
export interface Pace {
  finished(unit: { task: string; queue: string }, ranMs: number): void
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
/** The mean is of so many units, */
const REMEMBERED = 64
/** less so many of those that took longest: one that the machine held up for 300 ms says nothing of the others, */
const HELD_UP = 2
/** where it was not for longer. */
const HELD_UP_MS = 1_000

export function createPace(): Pace {
  /** Of each task how long its last units took. */
  const lately = new Map<string, number[]>()
  const tasksIn = new Map<string, Set<string>>()
  const ends = new Map<string, number[]>()

  function sizeOf(task: string): number {
    const times = lately.get(task) ?? []
    if (times.length < LEAST_SEEN) return 1
    const most = Math.floor(TOGETHER_MS / Math.max(LEAST_MS, meanOf(times)))
    return Math.max(1, Math.min(MOST_TOGETHER, most))
  }

  return {
    finished: ({ task, queue }, ranMs) => {
      const last = lately.get(task) ?? []
      lately.set(task, last)
      last.push(ranMs)
      if (last.length > REMEMBERED) last.shift()
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

function meanOf(times: number[]): number {
  const sorted = times.toSorted((a, b) => a - b)
  const heldUp = sorted.splice(-HELD_UP).filter(ms => ms >= HELD_UP_MS)
  return [...sorted, ...heldUp].reduce((sum, ms) => sum + ms, 0) / (sorted.length + heldUp.length)
}
