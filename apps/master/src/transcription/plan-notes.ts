import type { DecodeSummary, ProbeResult } from './ffmpeg.ts'
import type { Channel } from './ffmpeg-command.ts'
import type { TranscriptNote } from './merge.ts'

/** Decoded and declared length may differ by so much in a file that is whole. */
const TRUNCATED_SECONDS = 1

interface Planned {
  readonly probed: ProbeResult
  readonly decoded: DecodeSummary
  readonly durationSeconds: number
  /** The one that was taken because all of them mixed are silence, else null. */
  readonly channel: Channel | null
  /** Whether the track was asked for. */
  readonly isAsked: boolean
}

/** What a reader of the transcript should know of the file. */
export function planNotes(planned: Planned): TranscriptNote[] {
  const { probed, decoded, durationSeconds, channel, isAsked } = planned
  const whole = { start: 0, end: round(durationSeconds) }
  const notes: TranscriptNote[] = []
  const { track, tracks, untold } = probed
  if (tracks.length > 1 && !isAsked) notes.push({ kind: 'track-chosen', ...whole, detail: trackDetail(track, tracks) })
  if (channel !== null) {
    const detail = `both channels together are silence, so channel ${channel} was taken, the louder one; for the other send \`channel\``
    notes.push({ kind: 'channel-chosen', ...whole, detail })
  }
  if (untold) {
    const detail = `the header says ${untold.declaredBytes} bytes of sound; the ${untold.bytes} bytes that follow were read, too`
    notes.push({ kind: 'wrong-length', start: round(probed.declaredSeconds ?? 0), end: whole.end, detail })
  }
  return [...notes, ...decoded.damaged, ...truncated(planned), ...leftOut(planned)]
}

function trackDetail(track: number, tracks: ProbeResult['tracks']): string {
  const why = tracks[track]?.isDefault ? 'the one that the file marks as its default' : 'the first with speech'
  return `track ${track} of ${tracks.length} audio tracks (counted from 0), ${why}; for another send \`track\``
}

/** Of samples that are not compressed their length is known by their bytes, also where the file's header says less. */
function leftOut({ probed, durationSeconds }: Planned): TranscriptNote[] {
  const { format, track, tracks, fileBytes } = probed
  const bytesPerSecond = tracks[track]?.pcmBytesPerSecond
  if (!bytesPerSecond || !ONLY_SOUND.includes(format)) return []
  const bytes = Math.round(fileBytes - durationSeconds * bytesPerSecond)
  // Pictures and notes of a program may stand in such files, too.
  if (bytes < fileBytes / 2 || bytes < TRUNCATED_SECONDS * bytesPerSecond) return []
  const end = round(durationSeconds + bytes / bytesPerSecond)
  const detail = `by its header, ${bytes} of the ${fileBytes} bytes of the file are no sound, and were left out`
  return [{ kind: 'wrong-length', start: round(durationSeconds), end, detail }]
}
/** Formats of which the header has one length only. */
const ONLY_SOUND = ['wav', 'w64', 'caf']

function truncated({ probed, decoded, durationSeconds }: Planned): TranscriptNote[] {
  const { declaredSeconds, firstTimestamp, hasVideo, tracks } = probed
  const { gaveUp } = decoded
  const isWhole = Math.abs((declaredSeconds ?? 0) - firstTimestamp - durationSeconds) <= TRUNCATED_SECONDS
  // One track of several may end before the file does; then only ffmpeg can tell whether something is missing.
  const missing = isWhole || hasVideo || tracks.length > 1 ? 0 : (declaredSeconds ?? 0) - durationSeconds
  if (missing <= TRUNCATED_SECONDS && !gaveUp) return []
  const said = missing > TRUNCATED_SECONDS ? `the file says it has ${declaredSeconds?.toFixed(1)} s` : ''
  const detail = [`decoded ${durationSeconds.toFixed(1)} s`, said, gaveUp ?? ''].filter(Boolean).join('; ')
  return [
    {
      kind: 'truncated',
      start: round(durationSeconds),
      end: round(Math.max(durationSeconds, declaredSeconds ?? 0)),
      detail
    }
  ]
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000
}
