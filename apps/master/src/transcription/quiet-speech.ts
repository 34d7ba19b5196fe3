import { FRAME_SAMPLES } from './voice-activity.ts'

/**
 * The network looks past a speaker who is 30 dB quieter than the one before, and past a whole recording at -60 dBFS. So
 * it sees quiet frames amplified, each by what the loudest of the last half second allows: a speaker is as loud to it as
 * any other from the first syllable on, and noise as loud as speech is still noise to it. Figures: docs/benchmarks.md.
 */
const LOOKED_BACK_FRAMES = 16
/** Levels as root of the mean square of a frame, of 1. What is louder stays as it is: -26 dBFS. */
const LOUD = 0.05
/** Below it there is nothing to amplify but the steps of 16 bits: -70 dBFS. */
const NOTHING = 0.0003
const MAX_GAIN = 100

/** For each of `frames` frames of 16 bit samples the factor, from 1 to 100, by which the network sees it. */
export function frameGains(samples: Int16Array, frames: number): Float64Array {
  const levels = new Float64Array(frames)
  const gains = new Float64Array(frames)
  for (let frame = 0; frame < frames; frame++) {
    levels[frame] = levelOf(samples, frame * FRAME_SAMPLES)
    let loudest = 0
    for (let i = Math.max(0, frame - LOOKED_BACK_FRAMES); i <= frame; i++) loudest = Math.max(loudest, levels[i] ?? 0)
    gains[frame] = loudest < NOTHING ? 1 : Math.min(MAX_GAIN, Math.max(1, LOUD / loudest))
  }
  return gains
}

function levelOf(samples: Int16Array, from: number): number {
  let squares = 0
  for (let i = from; i < from + FRAME_SAMPLES; i++) squares += (samples[i] ?? 0) ** 2
  return Math.sqrt(squares / FRAME_SAMPLES) / 32_768
}
