/** Which sound of a file is taken: one of its tracks, and of that all channels or one. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openRecordings, type Recordings, SPEECH } from './recording-files.ts'

let files: Recordings
beforeAll(async () => {
  files = await openRecordings()
}, 60_000)
afterAll(() => files.close())

const SILENCE = ['-f', 'lavfi', '-i', 'anullsrc=r=16000:cl=mono:d=11']
const BOTH = [...SILENCE, '-i', SPEECH, '-map', '0', '-map', '1', '-c:a', 'aac']
const NOTE = { kind: 'track-chosen', start: 0, detail: expect.stringMatching(/^track 1 of 2 .*`track`$/) }

describe('of several tracks', () => {
  test('the default one is taken', async () => {
    const other = ['-disposition:a:0', '0', '-disposition:a:1', 'default']
    const path = await files.make('default.mkv', '-i', SPEECH, '-i', SPEECH, '-map', '0', '-map', '1', ...other)
    const { track, warnings, heard } = await files.plan(path)
    expect(track).toEqual({ index: 1, of: 2 })
    expect(warnings).toEqual([expect.objectContaining(NOTE)])
    expect(warnings[0]?.detail).toContain('default')
    expect(heard.length).toBeGreaterThan(0)
  })

  test.each(['mp4', 'mkv', 'ts'])(
    'the first with speech is taken where the default one has none, in %s',
    async extension => {
      const { track, warnings, heard } = await files.plan(await files.make(`silent-first.${extension}`, ...BOTH))
      expect(track).toEqual({ index: 1, of: 2 })
      expect(warnings).toEqual([expect.objectContaining(NOTE)])
      expect(warnings[0]?.detail).toContain('first with speech')
      expect(heard.length).toBeGreaterThan(0)
    }
  )

  test('the one that was asked for is taken, also without speech', async () => {
    const path = await files.make('asked.mkv', ...BOTH)
    expect(await files.plan(path, { track: 0 })).toMatchObject({ track: { index: 0, of: 2 }, windows: 0, warnings: [] })
    expect(await files.plan(path, { track: 1 })).toMatchObject({ track: { index: 1, of: 2 }, warnings: [] })
    const refused = { code: 'SC_NO_SUCH_TRACK', message: expect.stringContaining('0 to 1') }
    await expect(files.plan(path, { track: 2 })).rejects.toMatchObject(refused)
    await expect(files.plan(SPEECH, { track: 1 })).rejects.toMatchObject({ code: 'SC_NO_SUCH_TRACK' })
  })

  test('none has speech: the default one is said', async () => {
    const path = await files.make('silent.mkv', ...SILENCE, ...SILENCE, '-map', '0', '-map', '1')
    expect(await files.plan(path)).toMatchObject({ track: { index: 0, of: 2 }, windows: 0 })
  })
})

describe('two channels', () => {
  test.each([
    ['wav', 'c0=0.8*c0|c1=-0.7*c0', 0],
    ['mp3', 'c0=0.5*c0|c1=-0.6*c0', 1]
  ] as const)('of opposite phase: the louder one is taken, with a note (%s)', async (extension, pan, channel) => {
    const path = await files.make(`opposite.${extension}`, '-i', SPEECH, '-af', `pan=stereo|${pan}`)
    const { heard, warnings } = await files.plan(path)
    expect(heard.length).toBeGreaterThan(0)
    expect(warnings).toEqual([
      expect.objectContaining({
        kind: 'channel-chosen',
        detail: expect.stringContaining(`channel ${channel} was taken`)
      })
    ])
    expect((await files.plan(path, { channel: 0 })).warnings).toEqual([])
  })

  test.each(['c0=c0|c1=c0', 'c0=c0|c1=0*c0', 'c0=c0|c1=-0.5*c0'])(
    'that do not cancel each other out are mixed: %s',
    async pan => {
      const path = await files.make('mixed.wav', '-i', SPEECH, '-af', `pan=stereo|${pan}`)
      const { heard, warnings } = await files.plan(path)
      expect(heard.length).toBeGreaterThan(0)
      expect(warnings).toEqual([])
    }
  )
})

describe('formats', () => {
  test.each(['flv', 'au', 'ac3', 'eac3'])('%s is read', async extension => {
    const rate = extension === 'flv' ? ['-ar', '44100', '-c:a', 'aac'] : []
    const { heard, durationSeconds } = await files.plan(await files.make(`speech.${extension}`, '-i', SPEECH, ...rate))
    expect(durationSeconds).toBeCloseTo(11, 1)
    expect(heard.length).toBeGreaterThan(0)
  })

  test.each(['dts', 'wv', 'tta'])('%s is refused, and the refusal names what is read', async extension => {
    const path = await files.make(`speech.${extension}`, '-i', SPEECH, '-strict', '-2')
    await expect(files.plan(path)).rejects.toMatchObject({
      code: 'SC_NOT_AUDIO',
      message: expect.stringMatching(/not one of those that are read here.*wav, mp3, .*flv/)
    })
  })
})
