import { SAMPLE_RATE } from '@sc/shared/transcription.ts'
import type { DecodeSummary } from './ffmpeg.ts'
import type { PcmTape } from './pcm-tape.ts'
import { createStretchFinder, type SpeechNews } from './speech-stretches.ts'
import { blockSamples, FRAME_SAMPLES, LEAD_SAMPLES, type VoiceActivity } from './voice-activity.ts'

export interface Hearing {
  /** News of speech in order; the last one has `samples`. */
  news(): AsyncGenerator<SpeechNews, DecodeSummary>
  /** Samples before this are not looked at again. */
  neededFrom(): number
}

/** A block that was handed in. */
interface Asked {
  answer: Promise<Float32Array>
  answered: boolean
}

/** So many blocks without an answer, and decoding waits. */
const BLOCKS_ASKED = 1

/** Decoding and voice activity side by side: while the network looks at a block, the next one is decoded to the tape. */
export function hearSpeech(
  decoder: AsyncGenerator<Buffer, DecodeSummary>,
  {
    tape,
    voiceActivity,
    onProgress,
    turn = async () => {}
  }: {
    tape: PcmTape
    voiceActivity: VoiceActivity
    onProgress?: ((seconds: number) => void) | undefined
    turn?: (() => Promise<void>) | undefined
  }
): Hearing {
  let blockStart = 0
  let blockCount = 0

  async function* news(): AsyncGenerator<SpeechNews, DecodeSummary> {
    const finder = createStretchFinder()
    const asked: Asked[] = []
    await turn()
    let next = await decoder.next()
    for (; !next.done; next = await decoder.next()) {
      tape.append(next.value)
      const isBlock = tape.samples() >= blockStart + blockSamples(blockCount)
      while (tape.samples() >= blockStart + blockSamples(blockCount)) asked.push(ask(blockSamples(blockCount)))
      while (asked[0]?.answered || asked.length > BLOCKS_ASKED) yield finder.push(await (asked.shift() as Asked).answer)
      // A decoder that is not read from rests, too.
      if (isBlock) await turn()
    }
    if (tape.samples() > blockStart) asked.push(ask(tape.samples() - blockStart))
    for (const { answer } of asked) yield finder.push(await answer)
    yield finder.end(tape.samples())
    return next.value
  }

  /** Hands the next block in, of which the recording has `samples`. */
  function ask(samples: number): Asked {
    const pcm = voiceActivity.buffer()
    const from = Math.max(0, blockStart - LEAD_SAMPLES)
    tape.copy(new Uint8Array(pcm), 2 * (from - blockStart + LEAD_SAMPLES), from, blockStart + samples)
    blockStart += samples
    blockCount++
    onProgress?.(blockStart / SAMPLE_RATE)
    const answer = voiceActivity.evaluate({ pcm, frames: Math.ceil(samples / FRAME_SAMPLES) })
    const asked: Asked = { answer, answered: false }
    const onAnswer = (): void => {
      asked.answered = true
    }
    answer.then(onAnswer, onAnswer)
    return asked
  }
  return { news, neededFrom: () => Math.max(0, blockStart - LEAD_SAMPLES) }
}
