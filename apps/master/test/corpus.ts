import { execFile } from 'node:child_process'
import { copyFile, mkdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { REPO_DIR } from '@sc/shared/config.ts'
import { WAV_HEADER_BYTES, writeWavHeader } from '../src/transcription/wav.ts'

const run = promisify(execFile)
/** 11 s of real speech, stored as 16 kHz mono. */
const SPEECH = join(REPO_DIR, 'samples/jfk.wav')

/** Hostile and odd files by name, each made by `makeCorpus`. What each one must lead to stands in media-intake.test.ts. */
export type CorpusFile =
  | 'speech'
  | 'hls'
  | 'hlsAsMp3'
  | 'hlsAsWav'
  | 'ffconcatAsMp3'
  | 'ffconcatAsWav'
  | 'moovAtEnd'
  | 'headerSaysMore'
  | 'headerSaysLess'
  | 'silence6h'
  | 'zeroBytes'
  | 'text'
  | 'image'
  | 'videoWithoutSound'
  | 'videoWithSound'
  | 'eightChannels'
  | 'telephone'
  | 'oneSample'
  | 'truncatedMp3'
  | 'truncatedWav'
  | 'truncatedM4a'
  | 'noise'
  | 'manySamples'

export type Corpus = Record<CorpusFile, string>

/** Makes the files in `dir` with a real ffmpeg, in a few seconds; answers their paths. */
export async function makeCorpus(ffmpegPath: string, dir: string): Promise<Corpus> {
  await mkdir(dir, { recursive: true })
  const at = (name: string) => join(dir, name)
  const ffmpeg = async (name: string, ...args: string[]) => {
    await run(ffmpegPath, ['-nostdin', '-v', 'error', '-y', ...args, at(name)])
    return at(name)
  }
  const write = async (name: string, content: string | Buffer) => {
    await writeFile(at(name), content)
    return at(name)
  }
  // What the playlists point at: were it read, its speech would show up in their transcripts.
  const secret = await write('secret.wav', await readFile(SPEECH))
  const hls = (uri: string) => `#EXTM3U\n#EXT-X-TARGETDURATION:11\n#EXTINF:11,\n${uri}\n#EXT-X-ENDLIST\n`
  const truncated = async (path: string, share: number) => {
    await truncate(path, Math.round((await readFile(path)).length * share))
    return path
  }
  return {
    speech: secret,
    hls: await write('playlist.m3u8', hls('secret.wav')),
    hlsAsMp3: await write('hls.mp3', hls('secret.wav')),
    hlsAsWav: await write('hls.wav', hls(`file://${secret}`)),
    ffconcatAsMp3: await write('ffconcat.mp3', 'ffconcat version 1.0\nfile secret.wav\n'),
    ffconcatAsWav: await write('ffconcat.wav', `ffconcat version 1.0\nfile '${secret}'\n`),
    moovAtEnd: await ffmpeg('moov-at-end.m4a', '-i', SPEECH, '-c:a', 'aac'),
    headerSaysMore: await write('header-says-more.wav', await lyingWav(400_000_000)),
    headerSaysLess: await write('header-says-less.wav', await lyingWav(2 * 16_000 * 2)),
    silence6h: await ffmpeg('silence-6h.flac', ...lavfi('anullsrc=r=8000:cl=mono:d=21600'), '-compression_level', '0'),
    zeroBytes: await write('zero-bytes.wav', ''),
    text: await write('text.mp3', 'Dear diary, today I was renamed to mp3.\n'.repeat(200)),
    image: await ffmpegAs(at('image.wav'), 'png', ffmpeg, ...lavfi('color=c=red:s=64x64:d=1'), '-frames:v', '1'),
    videoWithoutSound: await ffmpeg('video-without-sound.mp4', ...lavfi('testsrc=s=64x64:d=2'), '-c:v', 'mpeg4'),
    videoWithSound: await ffmpeg(
      'video.mp4',
      ...lavfi('testsrc=s=64x64:d=11'),
      '-i',
      SPEECH,
      '-c:v',
      'mpeg4',
      '-c:a',
      'aac'
    ),
    eightChannels: await ffmpeg('eight-channels.wav', '-i', SPEECH, '-af', 'pan=7.1|c0=0*c0|c5=c0'),
    telephone: await ffmpeg('telephone.wav', '-i', SPEECH, '-ar', '8000', '-c:a', 'pcm_mulaw'),
    oneSample: await ffmpeg('one-sample.wav', '-i', SPEECH, '-af', 'atrim=end_sample=1'),
    truncatedMp3: await truncated(await ffmpeg('truncated.mp3', '-i', SPEECH, '-b:a', '64k'), 0.5),
    truncatedWav: await truncated(await ffmpeg('truncated.wav', '-i', SPEECH), 0.5),
    truncatedM4a: await truncated(await ffmpeg('truncated.m4a', '-i', SPEECH, '-c:a', 'aac'), 0.5),
    noise: await ffmpeg('noise.wav', ...lavfi('anoisesrc=r=16000:d=8:seed=1:amplitude=0.1')),
    manySamples: await write('many-samples.mp4', manySamples())
  }
}

function lavfi(source: string): string[] {
  return ['-f', 'lavfi', '-i', source]
}

/** A file whose name does not say what it is. */
async function ffmpegAs(
  path: string,
  extension: string,
  ffmpeg: (name: string, ...args: string[]) => Promise<string>,
  ...args: string[]
): Promise<string> {
  await copyFile(await ffmpeg(`honest.${extension}`, ...args), path)
  return path
}

/** Speech in a WAV whose header says that it has `dataBytes`. */
async function lyingWav(dataBytes: number): Promise<Buffer> {
  const samples = (await readFile(SPEECH)).subarray(WAV_HEADER_BYTES)
  const header = Buffer.alloc(WAV_HEADER_BYTES)
  writeWavHeader(header, dataBytes)
  return Buffer.concat([header, samples])
}

/** An MP4 of some KB whose tables say that its two tracks have 10 million samples each, of one byte; all at one place. */
function manySamples(): Buffer {
  const [samples, chunks, tracks] = [10_000_000, 1_000, 2]
  const perChunk = samples / chunks
  const ftyp = mp4Box('ftyp', Buffer.from('isom'), words(512), Buffer.from('isommp41'))
  const sound = mp4Box('mdat', Buffer.alloc(perChunk, 0x55))
  const soundAt = ftyp.length + 8
  const format = mp4Box(
    '.mp3',
    words(0, 1, 0, 0),
    // Mono, 16 bit, 44,100 Hz.
    Buffer.from([0, 1, 0, 16, 0, 0, 0, 0]),
    words(44_100 * 65_536)
  )
  const tables = mp4Box(
    'stbl',
    mp4Table('stsd', words(1), format),
    mp4Table('stts', words(2, 1, 2, samples - 1, 1)),
    mp4Table('stsc', words(1, 1, perChunk, 1)),
    mp4Table('stsz', words(1, samples)),
    mp4Table('stco', words(chunks, ...Array<number>(chunks).fill(soundAt)))
  )
  const media = mp4Box(
    'mdia',
    mp4Table('mdhd', words(0, 0, 44_100, 44_100, 0)),
    mp4Table('hdlr', words(0), Buffer.from('soun'), words(0, 0, 0, 0)),
    mp4Box('minf', tables)
  )
  const track = mp4Box('trak', media)
  return Buffer.concat([ftyp, sound, mp4Box('moov', ...Array<Buffer>(tracks).fill(track))])
}

function mp4Box(type: string, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  return Buffer.concat([words(8 + body.length), Buffer.from(type), body])
}

/** One with a version and flags. */
function mp4Table(type: string, ...parts: Buffer[]): Buffer {
  return mp4Box(type, words(0), ...parts)
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, 4 * at)
  return bytes
}
