/** Files in which something is wrong: the rest is read, at the right times, and a note names the place. */
import { readFile, writeFile } from 'node:fs/promises'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createMpegScan } from '../../src/transcription/mpeg-frames.ts'
import { middleThird, openRecordings, type PlannedFile, type Recordings, SPEECH } from './recording-files.ts'

let files: Recordings
/** The sample three times, 33 s. */
const THREE = ['-stream_loop', '2', '-i', SPEECH]

beforeAll(async () => {
  files = await openRecordings()
}, 60_000)
afterAll(() => files.close())

const zeros = (length: number) => Buffer.alloc(length)
/** The same in every run. */
const noise = (length: number) => {
  let state = 1
  const next = () => {
    state = (state * 48_271) % 2_147_483_647
    return state & 255
  }
  return Buffer.from(Uint8Array.from({ length }, next))
}

/** Sentences after a pause of a second, in the copies of the sample. */
const SENTENCES = [3.29, 5.417, 16.417, 25.29, 27.417]

function expectSentences({ heard }: PlannedFile, from = 0, tolerance = 0.06): void {
  const starts = heard.map(([start]) => start)
  for (const second of SENTENCES.filter(second => second > from)) {
    const nearest = Math.min(...starts.map(start => Math.abs(start - second)))
    expect(nearest, `${second} in ${starts}`).toBeLessThan(tolerance)
  }
}

describe('a middle third that is gone', () => {
  test.each([
    ['mp3', zeros],
    ['mp3', noise],
    ['aac', noise],
    ['m4a', zeros],
    ['mkv', noise],
    ['flac', zeros],
    ['ogg', noise],
    ['ts', noise]
  ] as const)('of %s is a hole, and the note says from when to when', async (extension, bytes) => {
    const codec = { mp3: 'libmp3lame', flac: 'flac', ogg: 'libvorbis', ts: 'mp2' }[extension as string] ?? 'aac'
    const rate = extension === 'flac' ? '16000' : '48000'
    const whole = await files.make(`whole.${extension}`, ...THREE, '-c:a', codec, '-ar', rate, '-b:a', '64k')
    const path = files.at(`damaged.${extension}`)
    await writeFile(path, await middleThird(whole, bytes))
    const planned = await files.plan(path)
    const [note, ...others] = planned.warnings
    expect(others).toEqual([])
    expect(note).toMatchObject({ kind: 'damaged', detail: expect.stringContaining('the file is damaged') })
    // Containers keep several seconds together.
    expect(note?.start).toBeGreaterThan(8)
    expect(note?.start).toBeLessThan(12)
    expect(note?.end).toBeGreaterThan(21)
    expect(note?.end).toBeLessThan(26)
    expect(planned.durationSeconds).toBeCloseTo(33, 0)
    // How long the lost frames of an mp3 or aac lasted is known by their bytes only.
    expectSentences(planned, note?.end, ['mp3', 'aac'].includes(extension) ? 0.15 : 0.06)
  })

  test('of a format that does not say when its frames are heard is named, too', async () => {
    const whole = await files.make('whole.ac3', ...THREE, '-c:a', 'ac3')
    const path = files.at('damaged.ac3')
    await writeFile(path, await middleThird(whole, zeros))
    const { warnings } = await files.plan(path)
    expect(warnings).toEqual([expect.objectContaining({ kind: 'damaged', detail: expect.stringContaining('early') })])
  })
})

test('the last third that is gone is named', async () => {
  const whole = await readFile(await files.make('end.mp3', ...THREE, '-b:a', '64k'))
  const path = files.at('no-end.mp3')
  await writeFile(path, Buffer.concat([whole.subarray(0, (whole.length * 2) / 3), zeros(whole.length / 3)]))
  const { warnings, durationSeconds } = await files.plan(path)
  expect(durationSeconds).toBeCloseTo(33, 0)
  expect(warnings).toEqual([expect.objectContaining({ kind: 'damaged', end: expect.closeTo(33, 0) })])
})

describe('a file that is whole', () => {
  test('has no note, whatever stands around its frames', async () => {
    const mp3 = await readFile(await files.make('tags.mp3', '-i', SPEECH, '-b:a', '128k', '-metadata', 'title=x'))
    const tag = Buffer.alloc(128)
    tag.write('TAG')
    const cover = Buffer.concat([Buffer.from('ID3\x04\0\0\0\x01\x00\x00', 'latin1'), Buffer.alloc(16_384, 0xff)])
    const path = files.at('many-tags.mp3')
    await writeFile(path, Buffer.concat([cover, mp3, tag, mp3, Buffer.alloc(300), mp3, Buffer.alloc(5_000)]))
    const planned = await files.plan(path)
    expect(planned.warnings).toEqual([])
    expect(planned.heard.length).toBeGreaterThan(5)
  })

  test('is one part, whatever the size of the blocks it is read in', async () => {
    const path = await files.make('blocks.mp3', ...THREE, '-q:a', '4')
    const whole = await readFile(path)
    const damaged = await middleThird(path, noise)
    const scan = (file: Buffer, blockBytes: number) => {
      const { push, end } = createMpegScan('mpeg')
      for (let at = 0; at < file.length; ) {
        const next = push(file.subarray(at, at + blockBytes), at, at + blockBytes >= file.length)
        if (next <= at) break
        at = next
      }
      return end()
    }
    expect(scan(whole, whole.length)).toHaveLength(1)
    const parts = scan(damaged, damaged.length)
    expect(parts).toHaveLength(2)
    fc.assert(
      fc.property(fc.integer({ min: 40_000, max: 200_000 }), blockBytes => {
        expect(scan(damaged, blockBytes)).toEqual(parts)
        expect(scan(whole, blockBytes)).toHaveLength(1)
      }),
      { numRuns: 20 }
    )
  })
})

describe('a WAV', () => {
  const withDataSize = async (size: number, after = Buffer.alloc(0)) => {
    const file = Buffer.concat([await readFile(SPEECH), after])
    file.writeUInt32LE(size, file.indexOf('data') + 4)
    await writeFile(files.at('size.wav'), file)
    return await files.plan(files.at('size.wav'))
  }

  test('is read to the end of the file when its header says less, with a note', async () => {
    const planned = await withDataSize(1_000)
    expect(planned.durationSeconds).toBe(11)
    expect(planned.warnings).toEqual([
      expect.objectContaining({ kind: 'wrong-length', detail: expect.stringMatching(/1000 bytes.*351000 bytes/) })
    ])
  })

  test('ends where its samples do when other chunks follow', async () => {
    const list = Buffer.concat([Buffer.from('LIST\x20\x4e\0\0INFO', 'latin1'), Buffer.alloc(19_996)])
    const planned = await withDataSize(352_000, list)
    expect([planned.durationSeconds, planned.warnings]).toEqual([11, []])
  })
})

describe('a header that says less than there is, of another format with samples', () => {
  test.each([
    ['caf', (file: Buffer, at: number) => file.writeBigUInt64BE(1_004n, at + 4)],
    ['w64', (file: Buffer, at: number) => file.writeBigUInt64LE(1_024n, at + 16)]
  ] as const)('has a note with the bytes that are left out (%s)', async (extension, setSize) => {
    const path = await files.make(`less.${extension}`, '-i', SPEECH)
    expect((await files.plan(path)).warnings).toEqual([])
    const file = await readFile(path)
    setSize(file, file.indexOf('data'))
    await writeFile(path, file)
    expect((await files.plan(path)).warnings).toEqual([
      expect.objectContaining({ kind: 'wrong-length', detail: expect.stringMatching(/35\d\d\d\d .*left out/) })
    ])
  })
})

/** As loud as the one channel. */
const STEREO = ['-af', 'pan=stereo|c0=c0|c1=c0']

describe('a chained Ogg file', () => {
  test('has no more links than can be decoded in a while', async () => {
    const tenth = await files.make('tenth.opus', '-i', SPEECH, '-t', '0.1', '-c:a', 'libopus')
    const path = await files.join('many.opus', ...Array.from({ length: 1_001 }, () => tenth))
    await expect(files.plan(path)).rejects.toMatchObject({ code: 'SC_AUDIO_TOO_LONG' })
  })

  test.each([
    ['opus', ['-c:a', 'libopus'], ['-c:a', 'libopus', ...STEREO]],
    ['ogg', ['-c:a', 'libvorbis', '-ar', '16000'], ['-c:a', 'libvorbis', '-ar', '44100', ...STEREO]],
    ['oga', ['-c:a', 'flac'], ['-c:a', 'libvorbis', '-ar', '44100', ...STEREO]]
  ])('of %s is read to its last link', async (extension, first, second) => {
    const one = await files.make(`one.${extension}`, '-i', SPEECH, ...first)
    const two = await files.make(`two.${extension}`, '-i', SPEECH, ...second)
    const planned = await files.plan(await files.join(`chain.${extension}`, one, two, one))
    expect(planned.durationSeconds).toBeCloseTo(33, 1)
    expect(planned.warnings).toEqual([])
    expectSentences(planned)
  })
})
