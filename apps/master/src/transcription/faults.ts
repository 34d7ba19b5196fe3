import { readLogLine } from './ffmpeg-log.ts'
import type { TranscriptNote } from './merge.ts'

/** What ffmpeg's log tells while it decodes: its exit code says nothing of sound that it left out. */
export interface Faults {
  /** Each line of the log, as it comes. */
  read(line: string): void
  /** The damaged places of `seconds` that were decoded. */
  end(seconds: number): TranscriptNote[]
  /** Whether the file ended before its time. */
  endsEarly(): boolean
}

/** So much may lie between what ffmpeg decodes when it complains and what has been read of its output. */
const BEHIND_SECONDS = 6

/** Of one recording: a file of nothing but damage has thousands of places. */
const MOST_NOTES = 100

/** `decodedSeconds`: what has been read of its output so far. Times count from there, too. */
export function listenForFaults(decodedSeconds: () => number): Faults {
  const notes: TranscriptNote[] = []
  /** Places that have no note of their own. */
  let more = 0
  /** Since the last hole. */
  let complaints = 0
  let givenUp: number[] = []
  let hole: number | null = null
  let endsEarly = false

  function read(line: string): void {
    const said = readLogLine(line)
    if (said.kind === 'time') {
      if (hole === null) hole = said.seconds
      else {
        // A hole of which nothing is said is one that the recording has.
        if (complaints > 0 && notes.length < MOST_NOTES)
          notes.push(damaged(hole, said.seconds, 'nothing of it could be decoded'))
        else if (complaints > 0) more++
        hole = null
        complaints = 0
        givenUp = []
      }
      return
    }
    complaints++
    if (said.kind === 'undecodable') givenUp.push(decodedSeconds())
    if (said.kind === 'ends-early') endsEarly = true
  }

  function end(seconds: number): TranscriptNote[] {
    // An old ffmpeg prints one more hole at the end of all.
    const inside = notes.filter(({ start }) => start < seconds - 0.05)
    if (more > 0)
      inside.push(damaged(inside.at(-1)?.end ?? 0, seconds, `${more} more places of it could not be decoded`))
    const [first, last] = [givenUp[0], givenUp.at(-1)]
    if (first === undefined || last === undefined) return inside
    // One packet that is cut off at the end of the file is no damage.
    if (givenUp.length === 1 && seconds - first < BEHIND_SECONDS) return inside
    const about = `${givenUp.length} packets about here could not be decoded, and what follows may be early`
    return [...inside, damaged(first, Math.min(seconds, last + BEHIND_SECONDS), about)]
  }
  return { read, end, endsEarly: () => endsEarly }
}

function damaged(start: number, end: number, detail: string): TranscriptNote {
  return { kind: 'damaged', start: toMs(start), end: toMs(end), detail: `the file is damaged: ${detail}` }
}

/** For a place of a file without timestamps, which was told by its bytes. */
export function lostNote(start: number, end: number, bytes: number): TranscriptNote {
  return damaged(start, end, `${bytes} bytes are no sound; how long they lasted is estimated`)
}

function toMs(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}
