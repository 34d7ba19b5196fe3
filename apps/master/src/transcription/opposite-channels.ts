import { STEREO_RATE, stereoCommand } from './ffmpeg-command.ts'
import { startFfmpeg } from './ffmpeg-run.ts'

/**
 * Two channels of opposite phase, as from a balanced microphone on a stereo input: what one has, the other has with its sign
 * turned, and mixed to one they are silence.
 */
interface Sums {
  left: number
  right: number
  both: number
}

const BLOCK_SAMPLES = STEREO_RATE / 10
/** A block with less tells nothing: -54 dBFS. */
const LEAST_LEVEL = 64
/** So much of what can be heard is enough to tell, and no more than so much is listened to for it. */
const ENOUGH_BLOCKS = 50
const MOST_SECONDS = 300
/** The mix has less than this of the power of the louder channel: -15 dB. Two voices, one a channel, have -6. */
const OPPOSITE = 0.03
const TIMEOUT_MS = 60_000

/** The louder channel of a track whose two channels cancel each other out, else null. */
export async function findOppositeChannel(options: {
  ffmpegPath: string
  path: string
  track: number
  signal?: AbortSignal | undefined
}): Promise<0 | 1 | null> {
  const command = stereoCommand({ ...options, channel: 'mix', seconds: MOST_SECONDS })
  const run = startFfmpeg(command, { timeoutMs: TIMEOUT_MS, signal: options.signal })
  const sums: Sums = { left: 0, right: 0, both: 0 }
  let blocks = 0
  let rest = Buffer.alloc(0)
  try {
    for (let buffer = await run.read(); buffer && blocks < ENOUGH_BLOCKS; buffer = await run.read()) {
      const all = Buffer.concat([rest, buffer])
      let at = 0
      for (; at + 4 * BLOCK_SAMPLES <= all.length; at += 4 * BLOCK_SAMPLES)
        if (add(sums, all.subarray(at, at + 4 * BLOCK_SAMPLES))) blocks++
      rest = all.subarray(at)
    }
  } finally {
    run.kill()
  }
  const { left, right, both } = sums
  if (blocks === 0 || both >= OPPOSITE * Math.max(left, right)) return null
  return left >= right ? 0 : 1
}

/** False: the block is too quiet. */
function add(sums: Sums, block: Buffer): boolean {
  let [left, right, both] = [0, 0, 0]
  for (let at = 0; at < block.length; at += 4) {
    const [l, r] = [block.readInt16LE(at), block.readInt16LE(at + 2)]
    left += l * l
    right += r * r
    both += ((l + r) / 2) ** 2
  }
  if (Math.max(left, right) < LEAST_LEVEL ** 2 * BLOCK_SAMPLES) return false
  sums.left += left
  sums.right += right
  sums.both += both
  return true
}
