import { ScError } from '@sc/shared/errors.ts'
import { FORMATS_READ } from './ffmpeg-command.ts'

/** What ffmpeg's stderr means when not one sample came out, the most specific first. */
export function explain(stderr: string): ScError {
  const [, channel, layout] = /input channel #(\d+) not available from input layout '([\w. ()+]*)'/.exec(stderr) ?? []
  if (channel) return new ScError('SC_NO_SUCH_CHANNEL', `There is no channel ${channel} (counted from 0) in ${layout}.`)
  if (/Stream map '[^']*' matches no streams/.test(stderr))
    return new ScError('SC_NO_AUDIO_TRACK', 'The file was read, and no track of it is sound.')
  return new ScError(
    'SC_NOT_AUDIO',
    `Not one sample could be decoded${because(stderr)}. What is read: ${FORMATS_READ}; convert the file to one of them.`
  )
}

/** Only ffmpeg's own words are repeated: the rest of its log may quote bytes of a file. */
const REASONS = [
  ['Format not on whitelist', 'the format is not one of those that are read here'],
  ['moov atom not found', 'the index of the file is missing, as after an upload or recording that broke off'],
  ['Cannot allocate memory', 'decoding it would take too much memory'],
  // Of a thread, which gets no stack.
  ['Resource temporarily unavailable', 'decoding it would take too much memory'],
  ['Invalid data found when processing input', 'it is not audio, or badly damaged'],
  ['Decoder not found', 'its codec is not known'],
  ['No such file or directory', 'the file is not there']
] as const

/** `: the reason`, or nothing where the log names none that is known. */
export function because(stderr: string): string {
  const reason = REASONS.find(([phrase]) => stderr.includes(phrase))?.[1]
  return reason ? `: ${reason}` : ''
}
