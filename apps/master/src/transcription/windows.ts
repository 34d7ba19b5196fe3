import type { Window } from '@sc/shared/transcription.ts'
import type { SpeechNews, Stretch } from './speech-stretches.ts'
import { WINDOW_RULES, type WindowRules } from './window-rules.ts'

/**
 * DESIGN. Stretches of speech to windows, incrementally. `waiting` holds the stretches that are in no window yet; the
 * last may be open (still going on). The next window is decided as soon as nothing still to come can change it:
 * - a pause above `longestPauseInside` follows: the window ends there;
 * - the stretch that does not fit is reached: it ends at the longest pause after `earliestCut`, else at the last before;
 * - there was no pause at all: it ends at `longestWindow`, and the next begins `forcedOverlap` earlier (`resumeAt`).
 * So the result does not depend on how the news arrive.
 */
export interface WindowCutter {
  /** The windows that are now certain. Positions count from the start of the recording. */
  push(news: SpeechNews): Window[]
  /** No later window begins before this sample. */
  neededFrom(): number
}

export function createWindowCutter(rules: WindowRules = WINDOW_RULES): WindowCutter {
  let closed: Stretch[] = []
  let waiting: Stretch[] = []
  let knownUntil = 0
  let recordingEnd = Number.POSITIVE_INFINITY
  /** Where the speech before `waiting` ended. */
  let lastEnd = 0
  let resumeAt: number | null = null

  function push(news: SpeechNews): Window[] {
    closed.push(...news.closed)
    knownUntil = news.knownUntil
    recordingEnd = news.samples ?? recordingEnd
    const windows: Window[] = []
    waiting = news.open ? [...closed, news.open] : closed
    for (let window = nextWindow(); window; window = nextWindow()) {
      windows.push(window)
      waiting = news.open ? [...closed, news.open] : closed
    }
    return windows
  }

  function nextWindow(): Window | null {
    const limit = windowStart() + rules.longestWindow
    let best = -1
    let bestPause = 0
    for (const [index, stretch] of waiting.entries()) {
      if (stretch.end > limit) return best >= 0 ? cutAfter(best, limit) : cutAt(limit)
      const pause = pauseAfter(index)
      if (pause > rules.longestPauseInside) return cutAfter(index, limit)
      if (index === waiting.length - 1) return null
      const early = stretch.end - windowStart() < rules.earliestCut
      if (early || pause >= bestPause) best = index
      if (!early) bestPause = Math.max(bestPause, pause)
    }
    return null
  }

  function cutAfter(last: number, limit: number): Window {
    const start = windowStart()
    const pause = pauseAfter(last)
    const end = (most: number): number =>
      Math.min((waiting[last]?.end ?? start) + padding(pause, most), limit, recordingEnd)
    const speech = waiting
      .slice(0, last + 1)
      .map((stretch, index): [number, number] => [
        Math.max(start, paddedStart(index, rules.padding)),
        index === last ? end(rules.padding) : stretch.end + padding(pauseAfter(index), rules.padding)
      ])
    const window = { start, end: end(rules.edgePadding), speech, overlap: overlap() }
    lastEnd = waiting[last]?.end ?? lastEnd
    closed = closed.slice(last + 1)
    resumeAt = null
    return window
  }

  function cutAt(limit: number): Window {
    const start = windowStart()
    const window: Window = { start, end: limit, speech: [[start, limit]], overlap: overlap() }
    resumeAt = limit - rules.forcedOverlap
    return window
  }

  function windowStart(): number {
    return (
      resumeAt ??
      (waiting.length > 0 ? paddedStart(0, rules.edgePadding) : Math.max(lastEnd, knownUntil - rules.edgePadding))
    )
  }

  function overlap(): number {
    return resumeAt === null ? 0 : rules.forcedOverlap
  }

  function paddedStart(index: number, most: number): number {
    const start = waiting[index]?.start ?? 0
    const before = index === 0 ? lastEnd : (waiting[index - 1]?.end ?? 0)
    return start - (before === 0 ? Math.min(most, start) : padding(start - before, most))
  }

  /** Exact where another stretch follows, else what is known of it: nothing after a stretch that is open. */
  function pauseAfter(index: number): number {
    return (waiting[index + 1]?.start ?? knownUntil) - (waiting[index]?.end ?? 0)
  }

  function padding(pause: number, most: number): number {
    return Math.min(most, Math.floor(pause / 2))
  }

  return { push, neededFrom: windowStart }
}
