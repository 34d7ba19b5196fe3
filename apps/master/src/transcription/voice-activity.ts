import { Worker } from 'node:worker_threads'
import { ScError } from '@sc/shared/errors.ts'

/**
 * Silero's voice activity network over a recording, in blocks at fixed positions. A block is cut into stripes that the
 * network sees side by side in one batch; each stripe starts with a lead-in before it, because the network remembers
 * what it heard: without one the probabilities differ by up to 0.98 from those of one pass over the whole recording,
 * with 2 s by 0.01 on average. So the result depends on the audio alone, not on how the decoder hands it over.
 */
export const FRAME_SAMPLES = 512
/** What the network sees of the frame before. */
export const CONTEXT_SAMPLES = 64
export const LEAD_FRAMES = 64
/** x real time on one core by stripes: 370 with 1, 780 with 8, 940 with 32, of which the lead-ins take a fifth. */
const STRIPES = 8
/** 8 s, so that the first chunk is soon known: doubling it gains 4 % of speed and takes 10 MB. */
export const STRIPE_FRAMES = 256
/** Two blocks of a recording are on their way at once. */
const SPARE_BUFFERS = 3
/** Audio before a block that its evaluation needs. */
export const LEAD_SAMPLES = LEAD_FRAMES * FRAME_SAMPLES + CONTEXT_SAMPLES

export const BLOCK_SAMPLES = STRIPES * STRIPE_FRAMES * FRAME_SAMPLES

export interface BlockRequest {
  /** s16le: LEAD_SAMPLES, then the block, zeros where the recording has nothing. */
  readonly pcm: ArrayBuffer
  /** Frames of the block that the recording has. */
  readonly frames: number
}

export interface BlockReply {
  /** The request's own memory, to be used again. */
  readonly pcm: ArrayBuffer
  readonly probabilities: Float32Array
}

/** The thread with the network, for any number of recordings at once. */
export interface VoiceActivity {
  /** A buffer of zeros for the next block. */
  buffer(): ArrayBuffer
  /** Probability of speech in each frame. Blocks may be handed in before the last one's answer is there. */
  evaluate(request: BlockRequest): Promise<Float32Array>
  close(): Promise<void>
}

/** Starts the thread, which takes 0.3 s and 75 MB: once for the process. It is started again should it ever end. */
export function openVoiceActivity(): VoiceActivity {
  const spare: ArrayBuffer[] = []
  let thread: Thread | undefined = startThread(spare)

  function buffer(): ArrayBuffer {
    const used = spare.pop()
    if (used) new Uint8Array(used).fill(0)
    return used ?? new ArrayBuffer(2 * (LEAD_SAMPLES + BLOCK_SAMPLES))
  }

  function evaluate(request: BlockRequest): Promise<Float32Array> {
    if (!thread || thread.hasEnded()) thread = startThread(spare)
    return thread.evaluate(request)
  }
  return { buffer, evaluate, close: () => thread?.close() ?? Promise.resolve() }
}

interface Thread {
  evaluate(request: BlockRequest): Promise<Float32Array>
  hasEnded(): boolean
  close(): Promise<void>
}

function startThread(spare: ArrayBuffer[]): Thread {
  const worker = new Worker(new URL('./voice-activity-thread.ts', import.meta.url), {
    execArgv: [],
    // What it makes is short-lived and small; V8's default would let it pile up.
    resourceLimits: { maxYoungGenerationSizeMb: 4 }
  })
  const waiting: PromiseWithResolvers<Float32Array>[] = []
  let ended = false
  const end = (cause?: unknown) => {
    ended = true
    for (const asked of waiting.splice(0))
      asked.reject(new ScError('SC_INTERNAL', 'The thread for voice activity ended.', { cause }))
  }
  worker.on('message', ({ pcm, probabilities }: BlockReply) => {
    if (spare.length < SPARE_BUFFERS) spare.push(pcm)
    waiting.shift()?.resolve(probabilities)
  })
  worker.on('error', end)
  worker.on('exit', () => end())

  function evaluate(request: BlockRequest): Promise<Float32Array> {
    const asked = Promise.withResolvers<Float32Array>()
    // Whoever asked may have stopped waiting, because the decoder failed first.
    asked.promise.catch(() => {})
    waiting.push(asked)
    worker.postMessage(request, [request.pcm])
    return asked.promise
  }
  return { evaluate, hasEnded: () => ended, close: async () => void (await worker.terminate()) }
}
