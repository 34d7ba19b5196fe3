import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import { SAMPLE_RATE } from '@sc/shared/transcription.ts'

/**
 * The one file that knows ffmpeg's flags. Recordings are hostile until proven otherwise: a whitelist of formats (a
 * whitelist of protocols alone lets an HLS playlist named x.mp3 read other files), no shell, no network, no writing,
 * limits on memory and decoded length.
 */
const FORMATS = 'wav,mp3,flac,ogg,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2,aac,aiff,caf,amr,asf,w64,avi,mpegts,mpeg'

/** 30 times what ffmpeg takes for the formats above. */
const MEMORY_BYTES = 1024 ** 3
const LARGEST_ALLOCATION_BYTES = 256 * 1024 ** 2
/** Handed from one of ffmpeg's threads to the next; a packet of 20 ms each costs a quarter of the time more. */
const SAMPLES_AT_ONCE = 16_384

/** All channels mixed to one, or one of them, counted from 0. */
export type Channel = 'mix' | number

export interface FfmpegWanted {
  readonly ffmpegPath: string
  readonly path: string
  readonly channel: Channel
  readonly seconds: number
  /** Whether ffmpeg's log has what it knows of the recording, or errors only. */
  readonly describe: boolean
}

/** Program and arguments that write the first audio track to standard output: s16le, mono, 16 kHz. */
export function ffmpegCommand({ ffmpegPath, path, channel, seconds, describe }: FfmpegWanted): [string, ...string[]] {
  const verbosity = describe ? '-v info -nostats' : '-v error'
  const filters = [
    // Its log has the number of channels as a number, where the stream's line has a layout's name.
    ...(describe ? ['ashowinfo'] : []),
    // Unlike `pan` it does not make silence of a channel that is not there.
    ...(channel === 'mix' ? [] : [`channelmap=map=${channel}:channel_layout=mono`]),
    `asetnsamples=n=${SAMPLES_AT_ONCE}:p=0`
  ]
  const command = [
    ...memoryLimit(),
    ffmpegPath,
    ...words(`-nostdin -hide_banner ${verbosity} -max_alloc ${LARGEST_ALLOCATION_BYTES}`),
    ...words(`-protocol_whitelist file,pipe -format_whitelist ${FORMATS} -threads 1`),
    '-i',
    `file:${resolve(path)}`,
    ...words(`-map 0:a:0 -vn -sn -dn -t ${seconds} -af ${filters.join(',')}`),
    ...words(`-ac 1 -ar ${SAMPLE_RATE} -threads 1 -f s16le pipe:1`)
  ]
  return command as [string, ...string[]]
}

/** Limits by util-linux where it is there; ffmpeg's own `-max_alloc` holds everywhere. */
function memoryLimit(): string[] {
  const prlimit = ['/usr/bin/prlimit', '/bin/prlimit'].find(path => existsSync(path))
  return prlimit ? [prlimit, `--as=${MEMORY_BYTES}`, '--fsize=0', '--core=0', '--'] : []
}

function words(text: string): string[] {
  return text.split(' ')
}
