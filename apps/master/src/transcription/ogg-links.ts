import { ScError } from '@sc/shared/errors.ts'
import type { ByteRange } from './ffmpeg-command.ts'
import type { FilePart, FileScan } from './file-parts.ts'

/** RFC 3533: a chained stream is streams one after the other, each beginning with pages that are marked as first. */
const HEADER_BYTES = 27
const FIRST_PAGE = 0x02
/** Each is decoded by an ffmpeg of its own. */
const MOST_LINKS = 1_000
const LONGEST_PAGE = HEADER_BYTES + 255 + 255 * 255

/** The links of a chained Ogg file. Throws SC_AUDIO_TOO_LONG. */
export function createOggScan(): FileScan {
  const links: ByteRange[] = []
  let start = 0
  let inBeginning = true
  let size = 0

  function push(block: Buffer, at: number, isLast: boolean): number {
    size = at + block.length
    let place = 0
    while (place + HEADER_BYTES <= block.length) {
      if (!isLast && place + LONGEST_PAGE > block.length) break
      const next = block.indexOf('OggS', place, 'latin1')
      // Its first letters may be the last of this block.
      if (next < 0) return isLast ? size : at + block.length - 3
      place = next
      if (!isLast && place + LONGEST_PAGE > block.length) break
      const segments = block[place + 26] ?? 0
      if (block[place + 4] !== 0 || place + HEADER_BYTES + segments > block.length) {
        place += 4
        continue
      }
      const isFirst = ((block[place + 5] ?? 0) & FIRST_PAGE) !== 0
      if (isFirst && !inBeginning) {
        if (links.length === MOST_LINKS - 1) throw tooMany()
        links.push({ start, end: at + place })
        start = at + place
      }
      inBeginning = isFirst
      const lengths = block.subarray(place + HEADER_BYTES, place + HEADER_BYTES + segments)
      place += HEADER_BYTES + segments + lengths.reduce((sum, length) => sum + length, 0)
    }
    return isLast ? size : at + place
  }

  function end(): FilePart[] {
    return [...links, { start, end: size }].map(bytes => ({ bytes, lostSeconds: 0, lostBytes: 0 }))
  }
  return { push, end }
}

function tooMany(): ScError {
  const detail = `The Ogg file is a chain of more than ${MOST_LINKS} recordings: send it in several files.`
  return new ScError('SC_AUDIO_TOO_LONG', detail)
}
