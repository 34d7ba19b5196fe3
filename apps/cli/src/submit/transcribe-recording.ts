/** One recording: sent, followed to its end, its result fetched; or cancelled at the master when the user interrupts. */
import type { ErrorReport } from '@sc/shared/errors.ts'
import { ScError, toScError } from '@sc/shared/errors.ts'
import type { MasterClient } from '../connect/master-client.ts'
import { followJob } from '../follow/follow-job.ts'
import { errorOf, type JobView } from '../follow/job-view.ts'
import { formatBytes } from '../show/figures.ts'
import { createJobPhase, type JobPhase } from '../show/job-phase.ts'
import type { Gate } from './gate.ts'
import type { Format, Recording } from './recordings.ts'
import { type TranscribeFields, upload } from './upload.ts'

export interface TranscribeOptions {
  fields: TranscribeFields
  format: Format
  signal: AbortSignal
  uploadGate: Gate
  onPhase(phase: JobPhase, step: string): void
}

export interface Outcome {
  recording: Recording
  jobId: string | undefined
  view: JobView | undefined
  /** The result in the format asked for; undefined when there is none. */
  result: string | undefined
  error: ErrorReport | undefined
}

/** How long the master may take to hear of a cancel: the user waits for the prompt. */
const CANCEL_TIMEOUT_MS = 5_000

/** Throws only when `signal` is aborted. */
export async function transcribeRecording(
  client: MasterClient,
  recording: Recording,
  options: TranscribeOptions
): Promise<Outcome> {
  const { signal, onPhase } = options
  const outcome: Outcome = { recording, jobId: undefined, view: undefined, result: undefined, error: undefined }
  try {
    await work(client, outcome, options)
  } catch (thrown) {
    if (signal.aborted) {
      if (outcome.jobId) await cancel(client, outcome.jobId)
      onPhase({ fraction: outcome.view?.progress ?? 0, text: 'cancelled' }, 'cancelled')
      throw thrown
    }
    outcome.error = toScError(thrown).toReport()
  }
  if (outcome.error) onPhase({ fraction: outcome.view?.progress ?? 0, text: outcome.error.title }, 'ended')
  return outcome
}

async function work(client: MasterClient, outcome: Outcome, options: TranscribeOptions): Promise<void> {
  const { fields, format, signal, uploadGate, onPhase } = options
  const onBytes = (sent: number, total: number): void => {
    const text = sent === 0 ? formatBytes(total) : `${formatBytes(sent)} of ${formatBytes(total)}`
    onPhase({ fraction: 0, text: `sending ${text}` }, 'sending')
  }
  const { path } = outcome.recording
  outcome.jobId = await uploadGate(() => upload(client, path, { fields, signal, onBytes }))

  const phaseOf = createJobPhase()
  for await (const view of followJob(client, outcome.jobId, { signal })) {
    outcome.view = view
    onPhase(phaseOf(view), `${view.status} ${view.chunks?.done} ${view.waitingFor}`)
  }
  const { view } = outcome
  if (view?.status !== 'COMPLETED') outcome.error = errorOf(view as JobView) ?? endOf(view as JobView).toReport()
  if (view?.status === 'FAILED' || view?.status === 'CANCELLED') return
  const response = await client.send(`/transcribe/${outcome.jobId}/result?format=${format}`, { signal })
  outcome.result = await response.text()
}

/** What a job that did not complete says when it names no error of its own. */
function endOf({ status, gaps }: JobView): ScError {
  if (status === 'CANCELLED') return new ScError('SC_CANCELLED', 'Someone cancelled it at the master.')
  const places = (gaps ?? []).map(({ start, end }) => `${start.toFixed(1)} to ${end.toFixed(1)} s`)
  if (status === 'PARTIAL') return new ScError('SC_TASK_FAILED', `The text has gaps: ${places.join(', ')}.`)
  return new ScError('SC_TASK_FAILED', 'The master gives no reason.')
}

async function cancel(client: MasterClient, jobId: string): Promise<void> {
  const signal = AbortSignal.timeout(CANCEL_TIMEOUT_MS)
  // The user asked to stop: a master that does not hear of it cannot change that.
  await client.send(`/transcribe/${jobId}`, { method: 'DELETE', signal }).catch(() => {})
}
