import { execFile } from 'node:child_process'
import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findFfmpeg } from '@sc/shared/ffmpeg-path.ts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type DecodeOptions, decodeStream, probeRecording } from '../../src/transcription/ffmpeg.ts'
import { type Corpus, type CorpusFile, makeCorpus } from '../corpus.ts'

let dir = ''
let ffmpegPath = ''
let corpus: Corpus

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sc-intake-'))
  ffmpegPath = await findFfmpeg()
  corpus = await makeCorpus(ffmpegPath, join(dir, 'corpus'))
}, 120_000)

afterAll(() => rm(dir, { recursive: true, force: true }))

async function decode(
  file: CorpusFile,
  options: Partial<DecodeOptions> = {}
): Promise<{ pcm: Buffer; samples: number }> {
  const parts: Buffer[] = []
  const decoder = decodeStream({ ffmpegPath, path: corpus[file], ...options })
  for (;;) {
    const next = await decoder.next()
    if (next.done) return { pcm: Buffer.concat(parts), samples: next.value.samples }
    parts.push(Buffer.from(next.value))
  }
}

const code = (expected: string) => expect.objectContaining({ code: expected })

describe('files that are not a recording', () => {
  const refused: [CorpusFile, string][] = [
    ['hls', 'SC_NOT_AUDIO'],
    ['hlsAsMp3', 'SC_NOT_AUDIO'],
    ['hlsAsWav', 'SC_NOT_AUDIO'],
    ['ffconcatAsMp3', 'SC_NOT_AUDIO'],
    ['ffconcatAsWav', 'SC_NOT_AUDIO'],
    ['zeroBytes', 'SC_NOT_AUDIO'],
    ['text', 'SC_NOT_AUDIO'],
    ['image', 'SC_NOT_AUDIO'],
    ['truncatedM4a', 'SC_NOT_AUDIO'],
    ['videoWithoutSound', 'SC_NO_AUDIO_TRACK']
  ]
  test.each(refused)('%s is %s, when probed and when decoded', async (file, expected) => {
    await expect(probeRecording({ ffmpegPath, path: corpus[file] })).rejects.toEqual(code(expected))
    const decoder = decodeStream({ ffmpegPath, path: corpus[file] })
    await expect(decoder.next()).rejects.toEqual(code(expected))
  })

  test('the playlists would give away another file if formats were not limited', async () => {
    const unlimited = ['-nostdin', '-v', 'error', '-protocol_whitelist', 'file,pipe', '-i', corpus.ffconcatAsMp3]
    const { stdout } = await promisify(execFile)(ffmpegPath, [...unlimited, '-f', 's16le', 'pipe:1'], {
      encoding: 'buffer',
      maxBuffer: 1024 ** 2
    })
    expect(stdout.length).toBeGreaterThan(300_000)
  })

  test('an error says neither where the file lies nor what is in it', async () => {
    for (const [file] of refused) {
      const error: Error = await probeRecording({ ffmpegPath, path: corpus[file] }).catch(thrown => thrown)
      expect(error.message).not.toContain(dir)
      expect(error.message).not.toContain('secret')
    }
  })
})

describe('odd recordings are read to their end', () => {
  test.each<[CorpusFile, number]>([
    ['speech', 11],
    ['moovAtEnd', 11],
    ['videoWithSound', 11],
    ['eightChannels', 11],
    ['telephone', 11],
    ['headerSaysMore', 11],
    ['truncatedMp3', 5.5],
    ['truncatedWav', 5.5],
    ['silence6h', 21_600]
  ])('%s has %d s', async (file, seconds) => {
    expect(Math.abs((await decode(file)).samples / 16_000 - seconds)).toBeLessThan(0.1)
  })

  test('one sample is one sample', async () => {
    expect((await decode('oneSample')).samples).toBe(1)
  })

  test('what 16 kHz mono PCM holds comes out bit by bit', async () => {
    const file = await readFile(corpus.speech)
    const { pcm } = await decode('speech')
    expect(file.subarray(file.length - pcm.length).equals(pcm)).toBe(true)
  })

  test('a lying header is known by its declared length', async () => {
    const declared = async (file: CorpusFile) =>
      (await probeRecording({ ffmpegPath, path: corpus[file] })).declaredSeconds
    expect(await declared('headerSaysMore')).toBe(12_500)
    expect(await declared('headerSaysLess')).toBe(2)
    expect(await declared('truncatedMp3')).toBeCloseTo(11, 1)
    expect(await declared('truncatedWav')).toBe(11)
  })
})

describe('channels', () => {
  test('are counted and chosen', async () => {
    expect(await probeRecording({ ffmpegPath, path: corpus.eightChannels })).toMatchObject({
      channels: 8,
      sampleRate: 16_000
    })
    const speech = await decode('eightChannels', { channel: 5 })
    const silence = await decode('eightChannels', { channel: 0 })
    expect(speech.pcm.equals((await decode('speech')).pcm)).toBe(true)
    expect(silence.pcm.equals(Buffer.alloc(silence.pcm.length))).toBe(true)
  })

  test('that are not there are an error, not silence', async () => {
    await expect(decode('speech', { channel: 1 })).rejects.toEqual(code('SC_NO_SUCH_CHANNEL'))
    const probed = probeRecording({ ffmpegPath, path: corpus.eightChannels, channel: 8 })
    await expect(probed).rejects.toEqual(code('SC_NO_SUCH_CHANNEL'))
  })
})

describe('limits', () => {
  test('decoded length', async () => {
    await expect(decode('silence6h', { maxSeconds: 3600 })).rejects.toEqual(code('SC_AUDIO_TOO_LONG'))
    expect((await decode('speech', { maxSeconds: 11 })).samples).toBe(176_000)
  })

  test.runIf(process.platform === 'linux')('time; the whole process group goes, also without its leader', async () => {
    const time = `600.${Math.random().toString().slice(2)}`
    for (const script of [`sleep ${time} & wait`, `sleep ${time} &`]) {
      const decoder = decodeStream({ ffmpegPath: await fakeFfmpeg(script), path: corpus.speech, timeoutMs: 500 })
      const next = decoder.next()
      next.catch(() => {})
      await expect.poll(() => running(time)).toBe(1)
      await expect(next).rejects.toEqual(code('SC_DECODE_TIMEOUT'))
      await expect.poll(() => running(time)).toBe(0)
    }
  })

  test('time, but not that of a slow reader', async () => {
    const decoder = decodeStream({ ffmpegPath, path: corpus.eightChannels, timeoutMs: 1500 })
    let next = await decoder.next()
    await new Promise(resolve => setTimeout(resolve, 1600))
    while (!next.done) next = await decoder.next()
    expect(next.value).toEqual({ samples: 176_000, gaveUp: null, damaged: [] })
  })

  test('cancel', async () => {
    const cancel = new AbortController()
    const decoder = decodeStream({
      ffmpegPath: await fakeFfmpeg('sleep 600'),
      path: corpus.speech,
      signal: cancel.signal
    })
    const next = decoder.next()
    cancel.abort()
    await expect(next).rejects.toEqual(code('SC_CANCELLED'))
    await expect(decode('speech', { signal: AbortSignal.abort() })).rejects.toEqual(code('SC_CANCELLED'))
  })

  test.runIf(process.platform === 'linux')('memory', async () => {
    const greedy = await fakeFfmpeg(`exec python3 -c "x = bytearray(2 * 1024 ** 3); print(len(x))"`)
    await expect(decodeStream({ ffmpegPath: greedy, path: corpus.speech }).next()).rejects.toEqual(code('SC_NOT_AUDIO'))
  })

  test.runIf(process.platform === 'linux')(
    'memory and processor time of a look, whatever the file claims',
    async () => {
      await expect(probeRecording({ ffmpegPath, path: corpus.manySamples })).rejects.toMatchObject({
        code: 'SC_NOT_AUDIO',
        message: expect.stringContaining('too much memory')
      })
      const limits = `mkdir ${dir}/limits-$(ulimit -t)-$(ulimit -d)-$(nice)`
      const probed = probeRecording({ ffmpegPath: await fakeFfmpeg(`${limits}; kill -XCPU $$`), path: corpus.speech })
      await expect(probed).rejects.toEqual(code('SC_DECODE_TIMEOUT'))
      expect(await readdir(dir)).toContain(`limits-10-${384 * 1024}-10`)
    }
  )

  test.runIf(process.platform === 'linux')('a reader that stops early leaves no process behind', async () => {
    const decoder = decodeStream({ ffmpegPath, path: corpus.silence6h })
    await decoder.next()
    expect(await running(corpus.silence6h)).toBe(1)
    await decoder.return({ samples: 0, gaveUp: null, damaged: [] })
    await expect.poll(() => running(corpus.silence6h)).toBe(0)
  })
})

test('an ffmpeg that does not start is an error of ours', async () => {
  const decoder = decodeStream({ ffmpegPath: join(dir, 'nowhere'), path: corpus.speech })
  await expect(decoder.next()).rejects.toMatchObject({ name: 'ScError', code: 'SC_INTERNAL' })
})

/** A program in ffmpeg's place. */
async function fakeFfmpeg(script: string): Promise<string> {
  const path = join(dir, `ffmpeg-${Math.random().toString(36).slice(2)}`)
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
  return path
}

/** Processes with `text` on their command line. */
async function running(text: string): Promise<number> {
  const pids = (await readdir('/proc')).filter(name => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter(line => line.includes(text)).length
}
