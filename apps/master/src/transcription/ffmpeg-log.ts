/** What ffmpeg's log says of a file, and of what went wrong while it decoded. Its lines differ between versions. */

/** One of the file's audio tracks. */
export interface Track {
  /** Among the audio tracks, from 0. */
  readonly index: number
  /** Whether the file marks it as the one to play. */
  readonly isDefault: boolean
  /** Of samples that are not compressed, else null. */
  readonly pcmBytesPerSecond: number | null
}

export interface FileDescription {
  /** Short names of ffmpeg: `mp3`, `mov,mp4,m4a,3gp,3g2,mj2`. */
  readonly format: string
  readonly tracks: readonly Track[]
  /** A picture that moves; the cover of an album is none. */
  readonly hasVideo: boolean
  /** What the file says of its length, which may be a lie; null where it says nothing or ffmpeg only guesses. */
  readonly durationSeconds: number | null
  /** The timestamp that the file's first track begins with. */
  readonly firstTimestamp: number
  readonly channels: number | null
  readonly sampleRate: number | null
  /** The timestamp that the decoded track begins with. */
  readonly trackTimestamp: number
}

/** Longer ones are of the file's tags, which say nothing that is looked for. */
const LONGEST_LINE = 1_000

/** Of the log of `describeCommand`. Its lines end by `\n` alone: a tag may have other ends of lines, and begin lines of its own. */
export function readDescription(log: string): FileDescription {
  const lines = log.split('\n').filter(line => line.length <= LONGEST_LINE)
  const [, hour, minute, second, start] =
    firstMatch(lines, /^ {2}Duration: (\d+):(\d\d):(\d\d\.\d+)(?:, start: (-?\d+\.\d+))?/) ?? []
  const guessed = lines.some(line => line.startsWith('[') && line.includes('Estimating duration from bitrate'))
  const frame = lines.find(line => line.startsWith('[Parsed_ashowinfo_0 ')) ?? ''
  const ofFrame = (field: RegExp): number | null => numberOf(field.exec(frame)?.[1])
  return {
    format: firstMatch(lines, /^Input #0, (\S+), from /)?.[1] ?? '',
    tracks: readTracks(lines),
    hasVideo: lines.some(line => /^ {2,4}Stream #0:\d+\S*: Video: (?!.*\(attached pic\))/.test(line)),
    durationSeconds:
      second && !guessed
        ? (Number(hour) * 360_000 + Number(minute) * 6000 + Math.round(Number(second) * 100)) / 100
        : null,
    firstTimestamp: Number(start ?? 0),
    channels: ofFrame(/ channels:(\d+) /),
    sampleRate: ofFrame(/ rate:(\d+) /),
    trackTimestamp: ofFrame(/ pts_time:(\S+) /) ?? Number(start ?? 0)
  }
}

function firstMatch(lines: readonly string[], pattern: RegExp): RegExpExecArray | null {
  for (const line of lines) {
    const found = pattern.exec(line)
    if (found) return found
  }
  return null
}

function numberOf(text: string | undefined): number | null {
  return text !== undefined && Number.isFinite(Number(text)) ? Number(text) : null
}

/** Those of the input, which are listed by program in an MPEG transport stream. */
function readTracks(lines: readonly string[]): Track[] {
  const end = lines.findIndex(line => /^(Stream mapping|Output #0)/.test(line))
  const input = end < 0 ? lines : lines.slice(0, end)
  const found = input.flatMap(line => [/^ {2,4}Stream #0:(\d+)\S*: Audio: (.*)$/.exec(line) ?? []])
  const byStream = new Map(found.flatMap(([, stream, rest]) => (stream ? [[Number(stream), rest ?? '']] : [])))
  return [...byStream]
    .sort(([a], [b]) => a - b)
    .map(([, rest], index) => ({
      index,
      isDefault: rest.includes('(default)'),
      pcmBytesPerSecond: pcmBytesPerSecond(rest)
    }))
}

function pcmBytesPerSecond(stream: string): number | null {
  const kbits = /^pcm_.*, (\d+) kb\/s/.exec(stream)?.[1]
  return kbits ? Number(kbits) * 125 : null
}

/**
 * What one line of the log of `decodeCommand` says: a time that its filters print, a packet that was given up, the end of
 * the file before its time, or anything else that is wrong.
 */
export type LogLine = { kind: 'time'; seconds: number } | { kind: 'undecodable' | 'ends-early' | 'other' }

export function readLogLine(line: string): LogLine {
  const [, seconds] = /^(?:\[Eval @ 0x[0-9a-f]+\] )?(-?\d+\.\d{6})$/.exec(line) ?? []
  if (seconds) return { kind: 'time', seconds: Number(seconds) }
  if (ENDS_EARLY.test(line)) return { kind: 'ends-early' }
  return { kind: UNDECODABLE.test(line) ? 'undecodable' : 'other' }
}

const UNDECODABLE = /Error while decoding stream|Error submitting packet to decoder|Decoding error: |CRC mismatch/
const ENDS_EARLY = /partial file|File ended prematurely|Error during demuxing|^file:.*: Invalid data found/
