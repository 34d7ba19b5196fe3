import { SAMPLE_RATE, type Window } from '@sc/shared/transcription.ts'

/** Consecutive whole windows: one unit of a transcription. */
export interface Chunk {
  readonly index: number
  readonly startSample: number
  readonly endSample: number
  /** Positions count from the start of the chunk. */
  readonly windows: Window[]
}

export interface ChunkPacker {
  /** `knownUntil`: no later window begins before this sample. */
  push(windows: readonly Window[], knownUntil: number): Chunk[]
  end(): Chunk[]
  /** Samples before this are in no later chunk; null: no chunk is begun. */
  neededFrom(): number | null
}

/** Each chunk may be twice as long as the one before, so that the first slots need not wait for a whole one. */
const FIRST_CHUNK_SECONDS = 15

/** A chunk takes windows as long as it stays within `chunkSeconds`, the first ones less; a window is never split. */
export function createChunkPacker(chunkSeconds: number): ChunkPacker {
  let open: Window[] = []
  let count = 0

  function push(windows: readonly Window[], knownUntil: number): Chunk[] {
    const chunks: Chunk[] = []
    for (const window of windows) {
      if (!hasRoomUntil(window.end)) chunks.push(...end())
      open.push(window)
    }
    if (!hasRoomUntil(knownUntil)) chunks.push(...end())
    return chunks
  }

  function hasRoomUntil(sample: number): boolean {
    return open[0] === undefined || sample - open[0].start <= longestOf(count)
  }

  function longestOf(index: number): number {
    return Math.round(Math.min(chunkSeconds, FIRST_CHUNK_SECONDS * 2 ** index) * SAMPLE_RATE)
  }

  function end(): Chunk[] {
    const [first] = open
    if (!first) return []
    const endSample = Math.max(...open.map(window => window.end))
    const windows = open.map(window => moveWindow(window, -first.start))
    open = []
    return [{ index: count++, startSample: first.start, endSample, windows }]
  }
  return { push, end, neededFrom: () => open[0]?.start ?? null }
}

/** The same window counted from another place. */
export function moveWindow(window: Window, bySamples: number): Window {
  return {
    start: window.start + bySamples,
    end: window.end + bySamples,
    speech: window.speech.map(([start, end]) => [start + bySamples, end + bySamples]),
    overlap: window.overlap
  }
}
