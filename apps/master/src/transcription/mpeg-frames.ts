import type { FilePart, FileScan } from './file-parts.ts'

/**
 * MPEG audio (mp3) and AAC as a bare row of frames (ADTS): they have no timestamps, so of a damaged place only its length in
 * bytes says how long it was. Each frame's header has the length of the frame, and a whole file is a walk from header to
 * header. Where the next one is missing, a damaged place begins; it ends at a header that is followed by others of its kind.
 */
export type FrameKind = 'mpeg' | 'adts'

interface Frame {
  readonly bytes: number
  readonly seconds: number
  /** Equal for all frames of a stream. */
  readonly kind: number
}

/** Frames without a gap, and what was lost before them. */
interface Run {
  start: number
  end: number
  seconds: number
  lostBytes: number
}

/** Four bytes may look like a header by chance; so many headers at the right places do not. */
const SURE_FRAMES = 4
const LONGEST_FRAME_BYTES = 8_192
/** A few bytes too many between frames, or before the first and after the last, are not what was heard. */
const LEAST_LOST_SECONDS = { between: 0.1, outside: 1 }
const SHORTEST_RUN_SECONDS = 0.5
/** Each is decoded by an ffmpeg of its own. */
const MOST_PARTS = 50
/** Of a file made for it, each 29 bytes could be one: it is taken as it is. */
const MOST_RUNS = 100_000

export function createMpegScan(kind: FrameKind): FileScan {
  const headerAt = kind === 'mpeg' ? mpegHeaderAt : adtsHeaderAt
  const runs: Run[] = []
  let open: Run | null = null
  let streamKind = 0
  let lostFrom = 0
  let size = 0
  let isHopeless = false

  function push(block: Buffer, at: number, isLast: boolean): number {
    if (isHopeless) {
      size = at + block.length
      return size
    }
    const last = isLast ? block.length : block.length - SURE_FRAMES * LONGEST_FRAME_BYTES
    let place = 0
    while (place < last) {
      const frame = headerAt(block, place)
      if (frame && ((open && frame.kind === streamKind) || isSure(block, place, frame))) {
        open ??= begin(at + place)
        open.seconds += frame.seconds
        streamKind = frame.kind
        place += frame.bytes
        open.end = at + place
      } else {
        const tag = tagBytesAt(block, place)
        place = tag > 0 ? place + tag : lose(block, place, at)
        if (tag > 0 && open) open.end = at + place
        else if (tag > 0 && at + place - tag === lostFrom) lostFrom = at + place
      }
    }
    size = at + block.length
    return at + place
  }

  function begin(start: number): Run {
    const run = { start, end: start, seconds: 0, lostBytes: start - lostFrom }
    runs.push(run)
    isHopeless = runs.length > MOST_RUNS
    return run
  }

  /** The next place that may be a header. */
  function lose(block: Buffer, place: number, at: number): number {
    if (open) lostFrom = at + place
    open = null
    const next = block.indexOf(0xff, place + 1)
    return next < 0 ? block.length : next
  }

  function isSure(block: Buffer, place: number, { kind }: Frame): boolean {
    for (let count = 0; count < SURE_FRAMES; count++) {
      const frame = headerAt(block, place)
      if (frame?.kind !== kind) return count > 0 && place >= block.length
      place += frame.bytes
    }
    return true
  }

  function end(): FilePart[] {
    if (isHopeless) return toParts([], size, 0)
    const lastEnd = runs.at(-1)?.end ?? size
    return toParts(runs, size, open ? 0 : Math.max(0, size - lastEnd))
  }
  return { push, end }
}

function toParts(all: readonly Run[], size: number, lostAtEnd: number): FilePart[] {
  const whole = [{ bytes: { start: 0, end: size }, lostSeconds: 0, lostBytes: 0 }]
  const goodSeconds = all.reduce((sum, { seconds }) => sum + seconds, 0)
  if (goodSeconds === 0) return whole
  const secondsPerByte = goodSeconds / all.reduce((sum, { start, end }) => sum + end - start, 0)
  const parts: { start: number; end: number; lostBytes: number }[] = []
  let lostBytes = 0
  for (const { start, end, seconds, ...run } of all) {
    lostBytes += run.lostBytes
    const before = parts.at(-1)
    const least = before ? LEAST_LOST_SECONDS.between : LEAST_LOST_SECONDS.outside
    const isLost = lostBytes * secondsPerByte >= least
    if (seconds < SHORTEST_RUN_SECONDS && all.length > 1) lostBytes += end - start
    else {
      if (isLost) parts.push({ start, end, lostBytes })
      else if (before) before.end = end
      else parts.push({ start: 0, end, lostBytes: 0 })
      lostBytes = 0
    }
  }
  lostBytes += lostAtEnd
  const last = parts.at(-1)
  if (lostBytes * secondsPerByte >= LEAST_LOST_SECONDS.outside) parts.push({ start: size, end: size, lostBytes })
  else if (last) last.end = size
  if (parts.length > MOST_PARTS || parts.length === 0) return whole
  return parts.map(({ start, end, lostBytes }) => ({
    bytes: { start, end },
    lostSeconds: lostBytes * secondsPerByte,
    lostBytes
  }))
}

/** kbit/s by layer, for MPEG-1 and for MPEG-2. */
const BITRATES: Record<1 | 2 | 3, [number[], number[]]> = {
  1: [
    [32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256]
  ],
  2: [
    [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
  ],
  3: [
    [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]
  ]
}
const MPEG_RATES = [44_100, 48_000, 32_000]
/** MPEG-1 and 2 are these bits; MPEG-2.5 is none. */
const [MPEG_1, MPEG_2, RESERVED] = [3, 2, 1]

function mpegHeaderAt(block: Buffer, place: number): Frame | null {
  const [first = 0, second = 0, third = 0] = [block[place], block[place + 1], block[place + 2]]
  if (first !== 0xff || second < 0xe0) return null
  const version = (second >> 3) & 3
  const layer = 4 - ((second >> 1) & 3)
  if (version === RESERVED || layer === 4) return null
  const kbits = BITRATES[layer as 1 | 2 | 3][version === MPEG_1 ? 0 : 1][(third >> 4) - 1]
  const fullRate = MPEG_RATES[(third >> 2) & 3]
  if (kbits === undefined || fullRate === undefined) return null
  const rate = version === MPEG_1 ? fullRate : version === MPEG_2 ? fullRate / 2 : fullRate / 4
  const samples = layer === 1 ? 384 : layer === 3 && version !== MPEG_1 ? 576 : 1152
  const slotBytes = layer === 1 ? 4 : 1
  const slots = Math.floor((samples * kbits * 125) / rate / slotBytes) + ((third >> 1) & 1)
  return { bytes: slots * slotBytes, seconds: samples / rate, kind: ((second & 0x1e) << 8) | (third & 0x0c) }
}

const AAC_RATES = [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350]

function adtsHeaderAt(block: Buffer, place: number): Frame | null {
  if (block[place] !== 0xff || place + 7 > block.length) return null
  const [second = 0, third = 0] = [block[place + 1], block[place + 2]]
  const rate = AAC_RATES[(third >> 2) & 15]
  const bytes = (block.readUIntBE(place + 3, 3) >> 5) & 0x1fff
  if ((second & 0xf6) !== 0xf0 || rate === undefined || bytes < 7) return null
  const blocks = 1 + ((block[place + 6] ?? 0) & 3)
  return { bytes, seconds: (1024 * blocks) / rate, kind: ((second & 0x08) << 8) | (third & 0xfc) }
}

/** Of a tag of ID3 or APE, which may stand before, between and after the frames. */
function tagBytesAt(block: Buffer, place: number): number {
  const name = block.toString('latin1', place, place + 8)
  if (name.startsWith('ID3') && place + 10 <= block.length) {
    const [a = 0, b = 0, c = 0, d = 0] = block.subarray(place + 6, place + 10)
    return 10 + ((a << 21) | (b << 14) | (c << 7) | d)
  }
  if (name === 'APETAGEX' && place + 16 <= block.length) return 32 + block.readUInt32LE(place + 12)
  return name.startsWith('TAG') ? 128 : 0
}
