import { SAMPLE_RATE } from '@sc/shared/transcription.ts'

/** Every number that decides where a recording is cut. Changing one changes the text of recordings: measure first. */
export const WINDOW_RULES = {
  /** A stretch of speech begins where the probability reaches this … */
  speechThreshold: 0.5,
  /** … and ends where it falls below this, for at least `shortestPause`. */
  silenceThreshold: 0.35,
  /** In samples, as all that follows. */
  shortestPause: seconds(0.16),
  /** Shorter stretches are clicks, not speech. */
  shortestSpeech: seconds(0.1),
  /** Added to each end of a stretch, at most half of the pause there. */
  padding: seconds(0.1),
  /** A window begins and ends so far from its speech, at most half of the pause there: less cuts off what is faint. */
  edgePadding: seconds(0.3),
  /** What Whisper can hear at once. */
  longestWindow: seconds(30),
  /** A window may end at a pause after so much; at the longest of these pauses. */
  earliestCut: seconds(15),
  /** A window never spans a pause above this: Whisper stops there and drops what follows. */
  longestPauseInside: seconds(0.9),
  /** Heard twice where there was no pause in `longestWindow`. */
  forcedOverlap: seconds(5)
} as const

export type WindowRules = { readonly [Name in keyof typeof WINDOW_RULES]: number }

function seconds(value: number): number {
  return Math.round(value * SAMPLE_RATE)
}
