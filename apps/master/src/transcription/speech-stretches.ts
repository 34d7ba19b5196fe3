import { FRAME_SAMPLES } from './voice-activity.ts'
import { WINDOW_RULES, type WindowRules } from './window-rules.ts'

/** Speech without a pause: [start, end) in samples of the recording. */
export interface Stretch {
  readonly start: number
  readonly end: number
}

/** What is known after some frames more. */
export interface SpeechNews {
  /** Stretches that ended, in order. */
  readonly closed: readonly Stretch[]
  /** A stretch that has certainly begun; it goes on until `end` at least. */
  readonly open: Stretch | null
  /** No other stretch begins before this sample. */
  readonly knownUntil: number
  /** Length of the recording, once known. */
  readonly samples: number | null
}

export interface StretchFinder {
  push(probabilities: Float32Array): SpeechNews
  /** After the last frame of a recording of `samples`. */
  end(samples: number): SpeechNews
}

/** Probabilities to stretches of speech, with hysteresis, as Silero's own `get_speech_timestamps` does. */
export function createStretchFinder(rules: WindowRules = WINDOW_RULES): StretchFinder {
  let position = 0
  let start: number | null = null
  let quietFrom: number | null = null

  function push(probabilities: Float32Array): SpeechNews {
    const closed: Stretch[] = []
    for (const probability of probabilities) {
      if (probability >= rules.speechThreshold) {
        start ??= position
        quietFrom = null
      } else if (start !== null && probability < rules.silenceThreshold) {
        quietFrom ??= position
        if (position - quietFrom >= rules.shortestPause) close(closed, quietFrom)
      }
      position += FRAME_SAMPLES
    }
    const end = quietFrom ?? position
    const open = start !== null && end - start > rules.shortestSpeech ? { start, end } : null
    return { closed, open, knownUntil: open ? open.end : (start ?? position), samples: null }
  }

  function end(samples: number): SpeechNews {
    const closed: Stretch[] = []
    if (start !== null) close(closed, Math.min(samples, quietFrom ?? position))
    return { closed, open: null, knownUntil: Number.POSITIVE_INFINITY, samples }
  }

  function close(closed: Stretch[], endsAt: number): void {
    if (start !== null && endsAt - start > rules.shortestSpeech) closed.push({ start, end: endsAt })
    start = null
    quietFrom = null
  }
  return { push, end }
}
