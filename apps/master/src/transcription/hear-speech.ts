import { SAMPLE_RATE } from '@sc/shared/transcription.ts'
import type { DecodeSummary } from './ffmpeg.ts'
import type { PcmTape } from './pcm-tape.ts'
import { createStretchFinder, type SpeechNews } from './speech-stretches.ts'
import { BLOCK_SAMPLES, FRAME_SAMPLES, LEAD_SAMPLES, type VoiceActivity } from './voice-activity.ts'

export interface Hearing {
  /** News of speech in order; the last one has `samples`. */
  news(): AsyncGenerator<SpeechNews, DecodeSummary>
  /** Samples before this are not looked at again. */
  neededFrom(): number
}

/** Decoding and voice activity side by side: while the network looks at a block, the next one is decoded to the tape. */
export function hearSpeech(
  decoder: AsyncGenerator<Buffer, DecodeSummary>,
  {
    tape,
    voiceActivity,
    onProgress
  }: { tape: PcmTape; voiceActivity: VoiceActivity; onProgress?: (seconds: number) => void }
): Hearing {
  let blockStart = 0

  async function* news(): AsyncGenerator<SpeechNews, DecodeSummary> {
    const finder = createStretchFinder()
    const asked: Promise<Float32Array>[] = []
    let next = await decoder.next()
    for (; !next.done; next = await decoder.next()) {
      tape.append(next.value)
      while (tape.samples() >= blockStart + BLOCK_SAMPLES) {
        asked.push(ask(BLOCK_SAMPLES))
        const earlier = asked.length > 1 ? asked.shift() : undefined
        if (earlier) yield finder.push(await earlier)
      }
    }
    if (tape.samples() > blockStart) asked.push(ask(tape.samples() - blockStart))
    for (const probabilities of asked) yield finder.push(await probabilities)
    yield finder.end(tape.samples())
    return next.value
  }

  /** Hands the next block in, of which the recording has `samples`. */
  function ask(samples: number): Promise<Float32Array> {
    const pcm = voiceActivity.buffer()
    const from = Math.max(0, blockStart - LEAD_SAMPLES)
    tape.copy(new Uint8Array(pcm), 2 * (from - blockStart + LEAD_SAMPLES), from, blockStart + samples)
    blockStart += samples
    onProgress?.(blockStart / SAMPLE_RATE)
    return voiceActivity.evaluate({ pcm, frames: Math.ceil(samples / FRAME_SAMPLES) })
  }
  return { news, neededFrom: () => Math.max(0, blockStart - LEAD_SAMPLES) }
}
