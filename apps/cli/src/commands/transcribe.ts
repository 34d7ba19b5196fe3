/** `sc transcribe FILE…` */
import { print, printError } from '@sc/shared/printable.ts'
import type { MasterClient } from '../connect/master-client.ts'
import { EXIT } from '../show/failure.ts'
import { formatFailures, formatResults, formatResultsAsJson, saveResult } from '../show/outcomes.ts'
import { createProgress } from '../show/progress.ts'
import { createGate } from '../submit/gate.ts'
import type { Format, Recording } from '../submit/recordings.ts'
import { type Outcome, transcribeRecording } from '../submit/transcribe-recording.ts'
import type { TranscribeFields } from '../submit/upload.ts'

export interface TranscribeCommand {
  recordings: Recording[]
  fields: TranscribeFields
  format: Format
  json: boolean
  signal: AbortSignal
}

/** Uploads at the same time: enough to fill a line, few enough not to share it among hundreds. */
const UPLOADS_AT_ONCE = 8

/** Answers the exit code. */
export async function transcribe(client: MasterClient, command: TranscribeCommand): Promise<number> {
  const outcomes = await transcribeAll(client, command)
  print(command.json ? formatResultsAsJson(outcomes, command.format) : formatResults(outcomes, command.format))
  printError(formatFailures(outcomes))
  return outcomes.some(({ error }) => error) ? EXIT.failed : EXIT.done
}

/** All recordings, a bar each. Throws only when the signal is aborted, after each job was cancelled. */
export async function transcribeAll(
  client: MasterClient,
  { recordings, fields, format, signal }: Omit<TranscribeCommand, 'json'>
): Promise<Outcome[]> {
  const progress = createProgress(
    recordings.map(({ name }) => name),
    process.stderr
  )
  const uploadGate = createGate(UPLOADS_AT_ONCE)
  const each = recordings.map(async (recording, index) => {
    const onPhase = progress.update.bind(progress, index)
    const outcome = await transcribeRecording(client, recording, { fields, format, signal, uploadGate, onPhase })
    saveResult(outcome)
    return outcome
  })
  // All of them have their say before one throw ends the command: each cancels its own job.
  const settled = await Promise.allSettled(each).finally(progress.close)
  return settled.map(one => {
    if (one.status === 'rejected') throw one.reason
    return one.value
  })
}
