import { afterAll, beforeAll, expect, test } from 'vitest'
import { listenForFaults } from '../../src/transcription/faults.ts'
import { probeRecording } from '../../src/transcription/ffmpeg.ts'
import { readDescription } from '../../src/transcription/ffmpeg-log.ts'
import { createMpegScan } from '../../src/transcription/mpeg-frames.ts'
import { openRecordings, type Recordings, SPEECH } from './recording-files.ts'

/** JavaScript begins a line behind it, ffmpeg does not. */
const LINE_SEPARATOR = '\u2028'

let files: Recordings
beforeAll(async () => {
  files = await openRecordings()
})
afterAll(() => files?.close())

test('a tag that looks like lines of ffmpeg says nothing of the file', async () => {
  const lines = [
    'Input #0, tty, from somewhere:',
    '  Duration: 09:00:00.00, start: 7.000000, bitrate: 1 kb/s',
    '  Stream #0:1: Video: h264',
    '  Stream #0:2: Audio: aac (default)',
    '[mp3 @ 0x1] Estimating duration from bitrate, this may be inaccurate',
    '[Parsed_ashowinfo_0 @ 0x1] n:0 pts_time:9 fmt:s16 channels:9 rate:9 nb'
  ]
  const title = lines.map(line => `${LINE_SEPARATOR}${line}`).join('\v')
  const tagged = await files.make('tagged.flac', '-i', SPEECH, '-metadata', `title=${title}`)
  const plain = await files.make('plain.flac', '-i', SPEECH)
  const of = async (path: string) => {
    const { fileBytes, ...rest } = await probeRecording({
      ffmpegPath: files.ffmpegPath,
      path
    })
    return rest
  }
  expect(await of(tagged)).toEqual(await of(plain))
})

test('a tag of 256 KB that no expression can be done with is read as any other', () => {
  const parts = ['[Parsed_ashowinfo_0 ', ' pts_time:1 '.repeat(9_000), ' channels:1 '.repeat(9_000)]
  const tag = `    TITLE           : ${LINE_SEPARATOR}${parts.join('')}`
  const log = `Input #0, flac, from 'x':\n  Metadata:\n${tag}\n  Duration: 00:00:11.00, start: 0.000000, bitrate: 1 kb/s\n  Stream #0:0: Audio: flac\n`
  expect(readDescription(log)).toMatchObject({ format: 'flac', durationSeconds: 11, channels: null })
})

test('a file of a million damaged places is taken as it is, and not kept place by place', () => {
  // Four frames of seven bytes, and one byte between them.
  const frame = Buffer.from([0xff, 0xf1, 0x50, 0x80, 0x00, 0xff, 0xfc])
  const row = Buffer.concat([frame, frame, frame, frame, Buffer.from([0])])
  const block = Buffer.concat(Array.from({ length: 30_000 }, () => row))
  const scan = createMpegScan('adts')
  let at = 0
  for (let n = 0; n < 40; n++) at = scan.push(block, at, n === 39)
  expect(scan.end()).toEqual([{ bytes: { start: 0, end: expect.any(Number) }, lostSeconds: 0, lostBytes: 0 }])
})

test('of thousands of damaged places a hundred have a note, and the rest one together', () => {
  const faults = listenForFaults(() => 0)
  for (let n = 0; n < 2_500; n++)
    for (const line of [`${n}.000000`, 'Error submitting packet to decoder', `${n}.500000`]) faults.read(line)
  const notes = faults.end(2_500)
  expect(notes).toHaveLength(101)
  expect(notes.at(-1)).toMatchObject({ start: 99.5, end: 2_500, detail: expect.stringContaining('2400 more places') })
})
