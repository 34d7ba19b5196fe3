import { fork } from 'node:child_process'
import { childEnv } from '@sc/shared/config.ts'
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
/** Of the first blocks: less speed, but the first windows are known sooner. */
const FIRST_STRIPES = [4, 4]
/** 8 s: doubling it gains 4 % of speed and takes 10 MB. */
export const STRIPE_FRAMES = 256
/** Two blocks of a recording are on their way at once. */
const SPARE_BUFFERS = 3
/** Audio before a block that its evaluation needs. */
export const LEAD_SAMPLES = LEAD_FRAMES * FRAME_SAMPLES + CONTEXT_SAMPLES

const LONGEST_BLOCK_SAMPLES = STRIPES * STRIPE_FRAMES * FRAME_SAMPLES

/** Length of a recording's block, counted from 0. */
export function blockSamples(index: number): number {
  return (FIRST_STRIPES[index] ?? STRIPES) * STRIPE_FRAMES * FRAME_SAMPLES
}

export interface BlockRequest {
  /** s16le: LEAD_SAMPLES, then the block, zeros where the recording has nothing. */
  readonly pcm: ArrayBuffer
  /** Frames of the block that the recording has. */
  readonly frames: number
}

/** The process with the network, for any number of recordings at once. */
export interface VoiceActivity {
  /** A buffer of zeros for the next block. */
  buffer(): ArrayBuffer
  /** Probability of speech in each frame. Blocks may be handed in before the last one's answer is there. */
  evaluate(request: BlockRequest): Promise<Float32Array>
  close(): Promise<void>
}

/** Processes that may end at one block. */
const MAX_ATTEMPTS = 2

/**
 * Starts the process, which takes 0.3 s: once for the master. A process, not a thread, because the native library
 * aborts the process it is in when its thread is ended at a wrong moment, and would take the master with it. It keeps
 * nothing between two blocks, so it may be killed at any time; what it has not answered is asked of a new one.
 */
export function openVoiceActivity(): VoiceActivity {
  const spare: ArrayBuffer[] = []
  let current = startProcess()
  let closed = false

  function buffer(): ArrayBuffer {
    const used = spare.pop()
    if (used) new Uint8Array(used).fill(0)
    return used ?? new ArrayBuffer(2 * (LEAD_SAMPLES + LONGEST_BLOCK_SAMPLES))
  }

  async function evaluate(request: BlockRequest): Promise<Float32Array> {
    for (let attempt = 1; ; attempt++) {
      if (current.hasEnded()) current = startProcess()
      try {
        const probabilities = await current.evaluate(request)
        if (spare.length < SPARE_BUFFERS) spare.push(request.pcm)
        return probabilities
      } catch (cause) {
        if (closed || attempt === MAX_ATTEMPTS)
          throw new ScError('SC_INTERNAL', 'The process for voice activity ended.', { cause })
      }
    }
  }

  async function close(): Promise<void> {
    closed = true
    await current.end()
  }
  return {
    buffer,
    evaluate(request) {
      const probabilities = evaluate(request)
      // Whoever asked may have stopped waiting, because the decoder failed first.
      probabilities.catch(() => {})
      return probabilities
    },
    close
  }
}

interface EvaluatingProcess {
  evaluate(request: BlockRequest): Promise<Float32Array>
  hasEnded(): boolean
  end(): Promise<void>
}

function startProcess(): EvaluatingProcess {
  const child = fork(new URL('./voice-activity-process.ts', import.meta.url), {
    execArgv: [],
    env: childEnv(),
    serialization: 'advanced',
    // Ctrl-C in the terminal is for the master to hear.
    detached: true
  })
  const waiting: PromiseWithResolvers<Float32Array>[] = []
  const ended = Promise.withResolvers<void>()
  let hasEnded = false
  const end = (cause: unknown) => {
    hasEnded = true
    ended.resolve()
    for (const asked of waiting.splice(0)) asked.reject(cause)
  }
  child.on('message', (probabilities: Float32Array) => waiting.shift()?.resolve(probabilities))
  child.once('exit', (code, signal) => end(new Error(`It ended with ${signal ?? code}.`)))
  child.on('error', error => {
    // Otherwise of a message to a process that is ending: `exit` follows.
    if (child.pid === undefined) end(error)
  })

  function evaluate(request: BlockRequest): Promise<Float32Array> {
    const asked = Promise.withResolvers<Float32Array>()
    waiting.push(asked)
    child.send(request)
    return asked.promise
  }
  return {
    evaluate,
    hasEnded: () => hasEnded,
    end() {
      child.kill('SIGKILL')
      return ended.promise
    }
  }
}
