import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describeMachine } from '../bench/figures.ts'
import { unitsOf } from '../chaos/scenarios.ts'
import { joinSamples, run, sharedAudio } from '../test/audio.ts'
import { startCluster } from '../test/cluster.ts'

/**
 * `pnpm verify:long`: three hours of speech through one worker, until planning has ended: when the first chunk is
 * queued, when the first segment arrives, and how much memory master and worker take meanwhile. Then the job is
 * cancelled. Exits 1 when a target is missed.
 */
const HOURS = 3
const cluster = await startCluster({ workers: 1, workerEnv: { OMP_NUM_THREADS: '1' } })
let missed = 0
try {
  const source = sharedAudio('en-long.ogg') ?? (await joinSamples(300, cluster.folder)).path
  const recording = join(cluster.folder, 'long.ogg')
  const codec = source.endsWith('.ogg') ? ['-c', 'copy'] : ['-c:a', 'libopus']
  await run(['-y', '-stream_loop', '-1', '-i', source, '-t', String(HOURS * 3600), ...codec, recording])
  // Models, code and buffers that any first job loads.
  await cluster.transcribe(source, { reuse: 'false', model: 'base' })

  const master = watchMemory([cluster.master.pid as number])
  const worker = watchMemory([cluster.workers.get('worker-1')?.pid as number])
  const jobId = await cluster.submit(recording, { reuse: 'false', model: 'base' })
  const sentMs = performance.now()
  const since = () => (performance.now() - sentMs) / 1000
  const firstSegment = firstEvent(jobId, 'segment').then(since)
  let chunks = 0
  let firstChunkSec = Number.POSITIVE_INFINITY
  let plannedSec = 0
  while (since() - plannedSec < 15) {
    const { length } = await unitsOf(cluster, jobId)
    if (length > 0) firstChunkSec = Math.min(firstChunkSec, since())
    if (length > chunks) plannedSec = since()
    chunks = length
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  const segmentSec = await firstSegment
  const [masterMb, workerMb] = [master.stop(), worker.stop()]
  await cluster.api(`/transcribe/${jobId}`, { method: 'DELETE' })

  console.log(`${describeMachine()}; ${HOURS} h of speech as ogg, one worker of one thread`)
  say(`first chunk queued ${firstChunkSec.toFixed(2)} s after the upload's end`, firstChunkSec <= 2)
  say(
    `first segment after ${segmentSec.toFixed(1)} s, planning ended after ${plannedSec.toFixed(1)} s (${chunks} chunks)`,
    segmentSec < plannedSec
  )
  say(
    `master's memory grew by ${masterMb.grown.toFixed(0)} MB (from ${masterMb.first.toFixed(0)})`,
    masterMb.grown < 64
  )
  say(
    `worker's memory grew by ${workerMb.grown.toFixed(0)} MB (from ${workerMb.first.toFixed(0)})`,
    workerMb.grown < 64
  )
} finally {
  await cluster.stop()
}
process.exit(missed === 0 ? 0 : 1)

function say(what: string, holds: boolean): void {
  if (!holds) missed++
  console.log(`${holds ? 'holds ' : 'MISSED'}  ${what}`)
}

async function firstEvent(jobId: string, name: string): Promise<void> {
  const stop = new AbortController()
  const response = await cluster.api(`/transcribe/${jobId}/events`, { signal: stop.signal })
  let text = ''
  for await (const part of response.body ?? []) {
    text += Buffer.from(part).toString()
    if (text.includes(`event: ${name}\n`)) break
  }
  stop.abort()
}

/** Resident memory of processes, in MB, looked at ten times a second. */
function watchMemory(pids: number[]): { stop(): { first: number; grown: number } } {
  let first = 0
  let most = 0
  const timer = setInterval(async () => {
    const texts = await Promise.all(pids.map(pid => readFile(`/proc/${pid}/status`, 'utf8')))
    const mb = texts.reduce((sum, text) => sum + Number(/VmRSS:\s+(\d+)/.exec(text)?.[1] ?? 0) / 1024, 0)
    first ||= mb
    most = Math.max(most, mb)
  }, 100)
  return {
    stop: () => {
      clearInterval(timer)
      return { first, grown: most - first }
    }
  }
}
