import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { SAMPLE_RATE } from '@sc/shared/transcription.ts'

/**
 * The one file that knows ffmpeg's flags. Recordings are hostile until proven otherwise: a whitelist of formats (a
 * whitelist of protocols alone lets an HLS playlist named x.mp3 read other files), no shell, no network, no writing,
 * limits on memory and decoded length.
 */
const FORMATS =
  'wav,mp3,flac,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,aac,ac3,eac3,aiff,au,caf,amr,asf,w64,avi,flv,mpegts,mpeg'
/** As people name them. */
export const FORMATS_READ =
  'wav, mp3, flac, ogg, opus, m4a, mp4, mov, 3gp, webm, mkv, aac, ac3, eac3, aiff, au, caf, amr, wma, wmv, w64, avi, flv, ts, mpeg'

/** 30 times what ffmpeg takes for the formats above. */
const MEMORY_BYTES = 1024 ** 3
/** A file may claim millions of samples in a few bytes. Twice what the index of an M4A of 24 hours takes. */
const LOOK_DATA_BYTES = 384 * 1024 ** 2
/** 50 times what that takes. */
const LOOK_CPU_SECONDS = 10
/** Whatever is uploaded, the master's own work goes first. */
const NICENESS = 10
const LARGEST_ALLOCATION_BYTES = 256 * 1024 ** 2
/** Handed from one of ffmpeg's threads to the next; a packet of 20 ms each costs a quarter of the time more. */
const SAMPLES_AT_ONCE = 4_096

/** A frame so much later than where the one before ended is late; the timestamps of many files tremble by less. */
const HOLE_SECONDS = 0.05
/** A clock that goes forward or back by more was set anew, as where recordings were joined: its time is not waited for. */
const LONGEST_HOLE_SECONDS = 3_600
const LONGEST_BACK_SECONDS = 1
/** ffmpeg prints it among its errors. */
const LEVEL_ERROR = 16

/** All channels mixed to one, or one of them, counted from 0. */
export type Channel = 'mix' | number

/** [start, end) of a file. */
export interface ByteRange {
  readonly start: number
  readonly end: number
}

export interface TrackWanted {
  readonly ffmpegPath: string
  readonly path: string
  /** Of the file's audio tracks, counted from 0. */
  readonly track: number
  readonly channel: Channel
  readonly seconds: number
}

export interface DecodeWanted extends TrackWanted {
  /** False: ffmpeg makes up the timestamps of this format, and wrong ones where recordings were joined. */
  readonly hasTimestamps: boolean
  /** Left out: the whole file. */
  readonly bytes?: ByteRange | null | undefined
  /** For a WAV whose header says less than there is. */
  readonly ignoresLength?: boolean | undefined
}

/** Program and arguments that write an audio track to standard output: s16le, mono, 16 kHz, holes filled with silence. */
export function decodeCommand(wanted: DecodeWanted): Command {
  const filled = [
    `asetpts='${frameTimes()}'`,
    `aformat=sample_fmts=s16:sample_rates=${SAMPLE_RATE}:channel_layouts=mono`,
    // Silence between frames that the times above leave apart, after the conversion: that of an hour fits into the memory.
    'aresample=async=1:min_hard_comp=0.01'
  ]
  const filters = [
    ...channelFilter(wanted.channel),
    ...(wanted.hasTimestamps ? filled : []),
    `asetnsamples=n=${SAMPLES_AT_ONCE}:p=0`
  ]
  return command(wanted, '-v error', filters, `-ac 1 -ar ${SAMPLE_RATE}`)
}

/** The same track from its first sound on, with what ffmpeg knows of the file in its log. */
export function describeCommand(wanted: TrackWanted): Command {
  // `ashowinfo` has the number of channels as a number, where the stream's line has a layout's name.
  const filters = ['ashowinfo', 'asetpts=PTS-STARTPTS', ...channelFilter(wanted.channel)]
  // The file's own timestamps: some formats would be counted from the first track that is decoded.
  // Past the first number of seconds ffmpeg is ended by SIGXCPU.
  const limits = [`--data=${LOOK_DATA_BYTES}`, `--cpu=${LOOK_CPU_SECONDS}:${LOOK_CPU_SECONDS + 1}`]
  return command({ ...wanted, limits }, '-v info -nostats -copyts', filters, `-ac 1 -ar ${SAMPLE_RATE}`)
}

/** The two channels of a track, as they are: s16le, 8 kHz. */
export function stereoCommand(wanted: TrackWanted): Command {
  return command(wanted, '-v error', ['asetpts=PTS-STARTPTS'], `-ac 2 -ar ${STEREO_RATE}`)
}
export const STEREO_RATE = 8_000

export type Command = [string, ...string[]]

function command(
  wanted: TrackWanted & Partial<DecodeWanted> & { limits?: string[] },
  verbosity: string,
  filters: string[],
  output: string
): Command {
  const { ffmpegPath, path, track, seconds, bytes, ignoresLength, limits = [] } = wanted
  const file = `file:${resolve(path)}`
  return [
    ...limited(limits),
    ffmpegPath,
    ...words(`-nostdin -hide_banner ${verbosity} -max_alloc ${LARGEST_ALLOCATION_BYTES}`),
    ...words(`-dts_delta_threshold ${LONGEST_HOLE_SECONDS}`),
    ...words(`-protocol_whitelist file,pipe,subfile -format_whitelist ${FORMATS} -threads 1`),
    ...(ignoresLength ? words('-ignore_length 1') : []),
    '-i',
    bytes ? `subfile,,start,${bytes.start},end,${bytes.end},,:${file}` : file,
    ...words(`-map 0:a:${track} -vn -sn -dn -t ${seconds} -af ${filters.join(',')}`),
    ...words(`${output} -threads 1 -f s16le pipe:1`)
  ] as unknown as Command
}

/** Unlike `pan` it does not make silence of a channel that is not there. */
function channelFilter(channel: Channel): string[] {
  return channel === 'mix' ? [] : [`channelmap=map=${channel}:channel_layout=mono`]
}

/**
 * When each frame begins, in samples: where the one before ended, but after a hole when its timestamp says. A hole is
 * printed, from and to, in seconds from the first frame. Without this ffmpeg puts what comes after a hole at its beginning.
 * ld(0): where the next frame is expected; ld(1): whether this is not the first; ld(2): what is added to timestamps since
 * the clock was set anew; ld(3): the timestamp; ld(4): the answer.
 */
function frameTimes(): string {
  const isNewClock = `gt(ld(3)-ld(0),${LONGEST_HOLE_SECONDS}*SR)+lt(ld(3)-ld(0),-${LONGEST_BACK_SECONDS}*SR)`
  return [
    'st(3,if(isnan(PTS),ld(0),PTS+ld(2)))',
    'if(ld(1),0,st(0,ld(3)))',
    'st(1,1)',
    `if(${isNewClock},st(2,ld(2)+ld(0)-ld(3))+st(3,ld(0)),0)`,
    `st(4,if(gt(ld(3)-ld(0),${HOLE_SECONDS}*SR),${printed('ld(0)')}+${printed('ld(3)')}+ld(3),ld(0)))`,
    'st(0,ld(4)+NB_SAMPLES)',
    'ld(4)'
  ].join(';')
}

function printed(value: string): string {
  return `0*print((${value}-STARTPTS)/SR,${LEVEL_ERROR})`
}

/** By util-linux where it is there; ffmpeg's own `-max_alloc` holds everywhere. */
function limited(more: string[]): string[] {
  const nice = find('nice')
  const prlimit = find('prlimit')
  return [
    ...(nice ? [nice, '-n', `${NICENESS}`] : []),
    ...(prlimit ? [prlimit, `--as=${MEMORY_BYTES}`, ...more, '--fsize=0', '--core=0', '--'] : [])
  ]
}

function find(program: string): string | undefined {
  return [`/usr/bin/${program}`, `/bin/${program}`].find(path => existsSync(path))
}

function words(text: string): string[] {
  return text.split(' ')
}
