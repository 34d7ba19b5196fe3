import type { Word } from '@sc/shared/transcription.ts'
import type { TranscriptSegment } from './merge.ts'

/** The same word of two decodings lies at most so far apart, in seconds. */
const SAME_WORD_SECONDS = 1
/**
 * Words of each side that are compared: the last ones of the left, the first ones of the right. Five seconds of speech
 * have some 20; the table of both takes the square.
 */
const MOST_COMPARED = 200

interface Joined {
  readonly left: TranscriptSegment[]
  readonly right: TranscriptSegment[]
  /** For `quality`. */
  readonly detail: string
}

/**
 * Two windows that share `region` because there was no pause to cut in: the text goes over from the left decoding to
 * the right one at the word both have that is nearest to the middle. Without such a word the left one is kept whole, and
 * of the right one all that reaches beyond it: a word twice rather than a word lost.
 */
export function joinOverlap(
  left: readonly TranscriptSegment[],
  right: readonly TranscriptSegment[],
  region: { start: number; end: number }
): Joined {
  const leftWords = left.flatMap(segment => segment.words).filter(word => word.end > region.start)
  const rightWords = right.flatMap(segment => segment.words).filter(word => word.start < region.end)
  const middle = (region.start + region.end) / 2
  const common = commonWords(leftWords.slice(-MOST_COMPARED), rightWords.slice(0, MOST_COMPARED)).sort(
    ([a], [b]) => Math.abs(centre(a) - middle) - Math.abs(centre(b) - middle)
  )[0]
  if (common) {
    const [lastLeft, sameRight] = common
    const dropLeft = new Set(leftWords.slice(leftWords.indexOf(lastLeft) + 1))
    const dropRight = new Set(rightWords.slice(0, rightWords.indexOf(sameRight) + 1))
    const detail = `no pause for a cut: two decodings joined at "${lastLeft.word.trim()}"`
    return { left: without(left, dropLeft), right: without(right, dropRight), detail }
  }
  const leftEnds = leftWords.reduce((latest, { end }) => Math.max(latest, end), region.start)
  const dropRight = new Set(rightWords.filter(word => word.end <= leftEnds))
  const detail = 'no pause for a cut, and two decodings without a common word: words may be doubled here'
  return { left: [...left], right: without(right, dropRight), detail }
}

/** The longest common subsequence of both, equal words at nearly equal times only. */
function commonWords(left: readonly Word[], right: readonly Word[]): [Word, Word][] {
  const [leftLetters, rightLetters] = [left.map(({ word }) => plain(word)), right.map(({ word }) => plain(word))]
  const isSame = (row: number, column: number): boolean => {
    const letters = leftLetters[row]
    if (letters === undefined || letters === '' || letters !== rightLetters[column]) return false
    return Math.abs(centre(left[row] as Word) - centre(right[column] as Word)) <= SAME_WORD_SECONDS
  }
  const width = right.length + 1
  const lengths = new Uint16Array((left.length + 1) * width)
  const at = (row: number, column: number): number => lengths[row * width + column] ?? 0
  for (let row = left.length - 1; row >= 0; row--)
    for (let column = right.length - 1; column >= 0; column--)
      lengths[row * width + column] = isSame(row, column)
        ? at(row + 1, column + 1) + 1
        : Math.max(at(row + 1, column), at(row, column + 1))
  const pairs: [Word, Word][] = []
  for (let row = 0, column = 0; row < left.length && column < right.length; ) {
    if (isSame(row, column)) {
      pairs.push([left[row] as Word, right[column] as Word])
      row++
      column++
    } else if (at(row + 1, column) >= at(row, column + 1)) row++
    else column++
  }
  return pairs
}

function plain(word: string): string {
  return word.toLowerCase().replaceAll(/[^\p{L}\p{N}]/gu, '')
}

function centre(word: Word): number {
  return (word.start + word.end) / 2
}

/** Segments without the dropped words; a segment that lost some gets its text and times from those that stay. */
function without(segments: readonly TranscriptSegment[], dropped: ReadonlySet<Word>): TranscriptSegment[] {
  return segments.flatMap(segment => {
    const words = segment.words.filter(word => !dropped.has(word))
    const [first, last] = [words[0], words.at(-1)]
    if (words.length === segment.words.length) return segment
    if (!first || !last) return []
    return { ...segment, words, text: words.map(({ word }) => word).join(''), start: first.start, end: last.end }
  })
}
