import { type FileHandle, open } from 'node:fs/promises'
import { SAMPLE_RATE } from '@sc/shared/transcription.ts'

export const WAV_HEADER_BYTES = 44

/** A WAV of 16 kHz mono s16le with the canonical header; the samples are left to be filled in. */
export function createWav(samples: number): Buffer<ArrayBuffer> {
  const wav = Buffer.alloc(WAV_HEADER_BYTES + 2 * samples)
  writeWavHeader(wav, 2 * samples)
  return wav
}

/** The canonical header of a WAV of 16 kHz mono s16le with so many bytes of samples, at the start of `wav`. */
export function writeWavHeader(wav: Buffer, dataBytes: number): void {
  wav.write('RIFF', 0)
  wav.writeUInt32LE(WAV_HEADER_BYTES - 8 + dataBytes, 4)
  wav.write('WAVEfmt ', 8)
  wav.writeUInt32LE(16, 16)
  wav.writeUInt16LE(1, 20) // PCM
  wav.writeUInt16LE(1, 22) // mono
  wav.writeUInt32LE(SAMPLE_RATE, 24)
  wav.writeUInt32LE(2 * SAMPLE_RATE, 28)
  wav.writeUInt16LE(2, 32)
  wav.writeUInt16LE(16, 34)
  wav.write('data', 36)
  wav.writeUInt32LE(dataBytes, 40)
}

/** Sizes from here on are what programs write that do not know the length yet. */
const UNKNOWN_SIZE = 0x7fff_0000
const MOST_CHUNKS = 1_000
/** Less after the samples is what some programs leave there. */
const LEAST_UNTOLD_SECONDS = 0.1

/** What the header of a WAV says of its samples. */
export interface WavLength {
  readonly seconds: number
  readonly bytes: number
  /** What follows and is no chunk of the file: samples that the header does not know of. */
  readonly untoldBytes: number
}

/** Null for another file, or one that does not say. */
export async function readWavLength(path: string): Promise<WavLength | null> {
  await using file = await open(path)
  const { size: fileBytes } = await file.stat()
  const head = await readAt(file, 0, 12)
  if (head.toString('latin1', 0, 4) !== 'RIFF' || head.toString('latin1', 8, 12) !== 'WAVE') return null
  let bytesPerSecond = 0
  for (let at = 12, count = 0; at + 8 <= fileBytes && count < MOST_CHUNKS; count++) {
    const chunk = await readAt(file, at, 20)
    const [name, size] = [chunk.toString('latin1', 0, 4), chunk.readUInt32LE(4)]
    if (name === 'fmt ' && chunk.length === 20) bytesPerSecond = chunk.readUInt32LE(16)
    if (name === 'data') {
      if (bytesPerSecond === 0 || size === 0 || size >= UNKNOWN_SIZE) return null
      const rest = fileBytes - (at + 8 + size)
      const isUntold =
        rest >= LEAST_UNTOLD_SECONDS * bytesPerSecond && !(await isChunks(file, at + 8 + size, fileBytes))
      return { seconds: size / bytesPerSecond, bytes: size, untoldBytes: isUntold ? rest : 0 }
    }
    at += 8 + size + (size % 2)
  }
  return null
}

/** Whether the file from `at` on is chunks, each with a name and a length that fits. */
async function isChunks(file: FileHandle, start: number, fileBytes: number): Promise<boolean> {
  let at = start + (start % 2)
  for (let count = 0; at + 8 <= fileBytes && count < MOST_CHUNKS; count++) {
    const chunk = await readAt(file, at, 8)
    if (!/^[ -~]{4}$/.test(chunk.toString('latin1', 0, 4))) return false
    at += 8 + chunk.readUInt32LE(4)
    // The byte that makes its length even is often missing at the end.
    if (at > fileBytes) return false
    at += at % 2
  }
  return true
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Buffer> {
  const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, at)
  return buffer.subarray(0, bytesRead)
}
