/** One line on where a transcription is: what it waits for, how many chunks are done, how fast, and how long it takes yet. */
import { isFinished, type JobView } from '../follow/job-view.ts'
import { count, formatDuration, formatSpeed } from './figures.ts'

export interface JobPhase {
  /** 0 to 1. */
  fraction: number
  text: string
}

/** Speed is measured by this machine's clock, from the first time the job was seen running. */
export function createJobPhase(nowMs: () => number = () => performance.now()): (view: JobView) => JobPhase {
  let first: { atMs: number; progress: number } | undefined

  function liveSpeed({ progress, durationSeconds }: JobView): number | undefined {
    first ??= { atMs: nowMs(), progress }
    const seconds = (nowMs() - first.atMs) / 1000
    const done = (progress - first.progress) * (durationSeconds ?? 0)
    return seconds > 0.5 && done > 0 ? done / seconds : undefined
  }

  return view => {
    if (isFinished(view)) return { fraction: view.status === 'COMPLETED' ? 1 : view.progress, text: finishedText(view) }
    if (view.status === 'PENDING') return { fraction: view.progress, text: waitingText(view) }
    const speed = liveSpeed(view)
    const leftSeconds = view.etaSeconds ?? secondsLeft(view, speed)
    const parts = [chunksText(view)]
    if (speed !== undefined) parts.push(`${formatSpeed(speed)} real time`)
    if (leftSeconds !== undefined) parts.push(`${formatDuration(leftSeconds)} left`)
    if (view.chunks?.done === 0 && view.waitingFor) parts.push(view.waitingFor)
    return { fraction: view.progress, text: parts.join(', ') }
  }
}

function waitingText({ waitingFor, queuePosition }: JobView): string {
  if (waitingFor) return waitingFor
  return queuePosition ? `queued, position ${queuePosition}` : 'queued'
}

function chunksText({ chunks }: JobView): string {
  if (!chunks?.total) return 'looking for pauses in the recording'
  return `${chunks.done}/${count(chunks.total, 'chunk')}`
}

function secondsLeft({ progress, durationSeconds }: JobView, speed: number | undefined): number | undefined {
  return speed && durationSeconds ? ((1 - progress) * durationSeconds) / speed : undefined
}

function finishedText(view: JobView): string {
  const parts = [view.status === 'COMPLETED' ? 'done' : view.status.toLowerCase()]
  if (view.chunks?.total) parts.push(count(view.chunks.total, 'chunk'))
  if (view.durationSeconds) parts.push(`${formatDuration(view.durationSeconds)} of audio`)
  const seconds = (Date.parse(view.finishedAt ?? '') - Date.parse(view.startedAt ?? '')) / 1000
  if (seconds > 0) parts.push(`in ${formatDuration(seconds)}`)
  if (seconds > 0 && view.durationSeconds) parts.push(`${formatSpeed(view.durationSeconds / seconds)} real time`)
  return parts.join(', ')
}
