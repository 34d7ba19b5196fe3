/** The one place that turns a throw into what the user reads and the exit code. */
import { ERRORS, type ErrorCode, type ErrorReport, toScError } from '@sc/shared/errors.ts'

export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const

export interface Failure {
  message: string
  exitCode: number
}

/** `title: detail (code)`. */
export function formatError({ code, title, detail }: ErrorReport): string {
  if (!detail) return `${title} (${code})`
  const [sentence, ...rest] = detail.split('\n')
  return [`${title}: ${sentence} (${code})`, ...rest].join('\n')
}

export function failureOf(thrown: unknown): Failure {
  if (isAbort(thrown)) return { message: 'Interrupted.', exitCode: EXIT.interrupted }
  const error = toScError(thrown)
  // What is wrong with the command line is said as it is: a title would only repeat it.
  if (error.code === 'SC_CONFIG') return { message: error.message, exitCode: EXIT.usage }
  return { message: formatError(error.toReport()), exitCode: EXIT.failed }
}

export function isAbort(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === 'AbortError'
}

/** What a user can do about an error, beyond what its detail says. */
export function nextStepFor({ code }: ErrorReport): string {
  if (code in NEXT_STEPS) return NEXT_STEPS[code as keyof typeof NEXT_STEPS]
  return ERRORS[code].retryable ? 'Run the command again: what is done already is used again.' : ''
}

const NEXT_STEPS = {
  SC_NOT_AUDIO: 'Check that a player can play the file, or convert it to wav, flac, ogg or mp3 first.',
  SC_NO_AUDIO_TRACK: 'Check that a player can play the file, or convert it to wav, flac, ogg or mp3 first.',
  SC_FILE_TOO_LARGE: 'Raise SC_MAX_UPLOAD_BYTES of the master, or convert the file to ogg or flac first.',
  SC_UNAUTHENTICATED:
    "Name the file with the master's key: --key-file FILE (on its machine: admin.key in its data folder).",
  SC_UNAVAILABLE: 'Look whether the master runs and can be reached; jobs that it has taken go on: see `sc jobs`.'
} as const satisfies Partial<Record<ErrorCode, string>>
