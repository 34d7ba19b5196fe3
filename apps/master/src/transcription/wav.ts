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

/** How long a WAV says it is, by its first bytes; null for another file, or one that does not say. */
export function declaredWavSeconds(head: Buffer): number | null {
  if (head.toString('latin1', 0, 4) !== 'RIFF' || head.toString('latin1', 8, 12) !== 'WAVE') return null
  let bytesPerSecond = 0
  for (let at = 12; at + 8 <= head.length; ) {
    const name = head.toString('latin1', at, at + 4)
    const size = head.readUInt32LE(at + 4)
    if (name === 'fmt ' && at + 20 <= head.length) bytesPerSecond = head.readUInt32LE(at + 16)
    if (name === 'data') return bytesPerSecond > 0 && size > 0 && size < UNKNOWN_SIZE ? size / bytesPerSecond : null
    at += 8 + size + (size % 2)
  }
  return null
}
