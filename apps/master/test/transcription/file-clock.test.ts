/** The times of a plan are those of the file's clock, which begins with the first of the file's tracks. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { moved, openRecordings, type PlannedFile, type Recordings, SPEECH } from './recording-files.ts'

/** Of what a reader can see. */
const TOLERANCE_SECONDS = 0.06

let files: Recordings
let speech: PlannedFile

beforeAll(async () => {
  files = await openRecordings()
  speech = await files.plan(SPEECH)
}, 60_000)
afterAll(() => files.close())

/** Codecs with a delay that no player takes away have a small one at 48 kHz. */
const CODECS = { mp4: 'aac', mkv: 'aac', webm: 'libopus', ts: 'mp2', mov: 'pcm_s16le', flv: 'aac' }
type Container = keyof typeof CODECS
const sound = (container: Container) => ['-c:a', CODECS[container], '-ar', container === 'flv' ? '44100' : '48000']
const PICTURE = ['-f', 'lavfi', '-i', 'color=s=16x16:r=5:d=16']
const picture = (container: Container) => [
  '-c:v',
  container === 'webm' ? 'libvpx' : container === 'flv' ? 'flv1' : 'mpeg4'
]

function expectHeard({ heard, warnings }: PlannedFile, wanted: readonly [number, number][]): void {
  expect(heard).toHaveLength(wanted.length)
  // Words begin sharply, but codecs differ in how they fade.
  for (const [at, [start]] of heard.entries()) {
    const [from] = wanted[at] ?? [0]
    expect(Math.abs(start - from), `${start} is ${from}`).toBeLessThan(TOLERANCE_SECONDS)
  }
  expect(warnings).toEqual([])
}

describe('sound that begins after the picture', () => {
  test.each(['mp4', 'mkv', 'webm', 'ts', 'mov', 'flv'] as const)('is as late in %s', async container => {
    for (const late of container === 'mp4' ? ['0.6', '4'] : ['4']) {
      const inputs = [...PICTURE, '-itsoffset', late, '-i', SPEECH]
      const path = await files.make(`late-${late}.${container}`, ...inputs, ...picture(container), ...sound(container))
      expectHeard(await files.plan(path), moved(speech.heard, Number(late)))
    }
  })

  test('by 1,000 s, and is the first that is found', async () => {
    const inputs = [...PICTURE, '-itsoffset', '1000', '-i', SPEECH]
    const path = await files.make('very-late.mkv', ...inputs, ...picture('mkv'), ...sound('mkv'))
    const planned = await files.plan(path)
    expectHeard(planned, moved(speech.heard, 1000))
    expect(planned.durationSeconds).toBeCloseTo(1011, 1)
  })

  test('is too long when it begins after the longest recording', async () => {
    const path = files.at('very-late.mkv')
    await expect(files.plan(path, { maxSeconds: 900 })).rejects.toMatchObject({ code: 'SC_AUDIO_TOO_LONG' })
  })
})

describe('a hole in the sound', () => {
  /** What is said after 5 s comes `seconds` later. */
  const hole = (seconds: number) => ['-i', SPEECH, '-af', `asetpts=PTS+gte(T\\,5)*${seconds}/TB`]

  test.each(['mp4', 'mkv', 'webm', 'ts'] as const)('stays one in %s', async container => {
    for (const seconds of container === 'ts' ? [0.3, 6, 20] : [6]) {
      const path = await files.make(`hole-${seconds}.${container}`, ...hole(seconds), ...sound(container))
      expectHeard(await files.plan(path), moved(speech.heard, seconds, 5))
    }
  })
})

describe('a file whose timestamps', () => {
  test.each(['mp4', 'mkv', 'webm', 'ts'] as const)('all begin at 1,000 s begins at 0, in %s', async container => {
    const path = await files.make(`offset.${container}`, '-i', SPEECH, '-output_ts_offset', '1000', ...sound(container))
    expectHeard(await files.plan(path), speech.heard)
  })

  test('begin again at 0 in its midst goes on', async () => {
    const inputs = [...PICTURE, '-itsoffset', '2', '-i', SPEECH, '-output_ts_offset', '95438']
    const path = await files.make('wrap.ts', ...inputs, ...picture('ts'), ...sound('ts'))
    expectHeard(await files.plan(path), moved(speech.heard, 2))
  })

  test('are cut by an edit list begins where the list does', async () => {
    const whole = await files.make('whole.mp4', '-i', SPEECH, ...sound('mp4'))
    const path = await files.make('cut.mp4', '-ss', '5', '-i', whole, '-c', 'copy')
    const { heard } = await files.plan(path)
    // Its last word begins there; where it ends depends on what was before.
    expect(heard.at(-1)?.[0]).toBeCloseTo((speech.heard.at(-1)?.[0] ?? 0) - 5, 1)
  })
})

test('a picture that lasts longer than the sound cuts nothing off', async () => {
  const path = await files.make('short-sound.mp4', ...PICTURE, '-i', SPEECH, ...picture('mp4'), ...sound('mp4'))
  const planned = await files.plan(path)
  expectHeard(planned, speech.heard)
  expect(planned.declaredSeconds).toBeCloseTo(16, 0)
})

test('what two recordings were joined to keeps all of both, whatever their timestamps are', async () => {
  const one = await files.make('one.mp3', '-i', SPEECH, '-ar', '44100', '-c:a', 'libmp3lame')
  const other = await files.make('other.mp3', '-i', SPEECH, '-ar', '16000', '-c:a', 'libmp3lame')
  const path = await files.join('joined.mp3', one, other)
  const { durationSeconds, heard, warnings } = await files.plan(path)
  expect(durationSeconds).toBeGreaterThan(21.5)
  expect(durationSeconds).toBeLessThan(22.5)
  expect(heard.length).toBeGreaterThan(speech.heard.length)
  expect(warnings).toEqual([])
})
