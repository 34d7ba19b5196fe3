import { join } from 'node:path'
import { REPO_DIR } from '@sc/shared/config.ts'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { frameGains } from '../../src/transcription/quiet-speech.ts'
import { FRAME_SAMPLES } from '../../src/transcription/voice-activity.ts'
import { openRecordings, SPEECH } from './recording-files.ts'

let recordings: Awaited<ReturnType<typeof openRecordings>>
let wholeSeconds: number
beforeAll(async () => {
  recordings = await openRecordings()
  wholeSeconds = (await recordings.plan(SPEECH)).speechSeconds
})
afterAll(() => recordings?.close())

/** A pause here is a word there: what is quieter may begin and end a little later. */
const SLACK_SECONDS = 0.7

test.each([-20, -30, -35, -40])('speech is found as well when it is quieter by %i dB', async decibels => {
  const path = await recordings.make(`${decibels}.wav`, '-i', SPEECH, '-af', `volume=${decibels}dB`)
  expect(Math.abs((await recordings.plan(path)).speechSeconds - wholeSeconds)).toBeLessThan(SLACK_SECONDS)
})

test('of three speakers the one in the middle is found, 30 dB quieter than the others', async () => {
  const [first, second] = ['austen-1', 'austen-3'].map(name => join(REPO_DIR, 'samples', `${name}.wav`)) as [
    string,
    string
  ]
  const speakers = async (decibels: number) => {
    const graph = [
      `[0:a]apad=pad_dur=1.5[a]`,
      `[1:a]volume=${decibels}dB,apad=pad_dur=1.5[b]`,
      '[a][b][2:a]concat=n=3:v=0:a=1[out]'
    ].join(';')
    const inputs = ['-i', first, '-i', SPEECH, '-i', second]
    const path = await recordings.make(`speakers${decibels}.wav`, ...inputs, '-filter_complex', graph, '-map', '[out]')
    return await recordings.plan(path)
  }
  const alike = await speakers(0)
  const apart = await speakers(-30)
  expect(Math.abs(apart.speechSeconds - alike.speechSeconds)).toBeLessThan(SLACK_SECONDS)
})

test.each([
  ['white', 0.5],
  ['white', 0.01],
  ['pink', 0.05],
  ['pink', 0.002],
  ['brown', 0.01]
])('noise (%s, amplitude %d) is no speech', async (color, amplitude) => {
  const source = `anoisesrc=color=${color}:amplitude=${amplitude}:duration=40:sample_rate=16000:seed=7`
  const path = await recordings.make(`${color}${amplitude}.wav`, '-f', 'lavfi', '-i', source)
  expect(await recordings.plan(path)).toMatchObject({ windows: 0 })
})

test('a frame is amplified by what the loudest of the last half second allows, from 1 to 100 times', () => {
  const levels = [0, 8, 30, 3_000, 300, ...Array.from({ length: 16 }, () => 30), 30]
  const samples = Int16Array.from(
    { length: levels.length * FRAME_SAMPLES },
    (_, i) => levels[Math.floor(i / FRAME_SAMPLES)] ?? 0
  )
  const gains = [...frameGains(samples, levels.length)].map(gain => Math.round(gain * 10) / 10)
  // -72 dBFS is nothing; 3,000 is loud enough, and stays the loudest for 16 frames after it.
  expect(gains.slice(0, 5)).toEqual([1, 1, 54.6, 1, 1])
  expect(gains.slice(19, 22)).toEqual([1, 5.5, 54.6])
})
