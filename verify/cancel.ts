import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describeMachine, spread } from '../bench/figures.ts'
import { runningUnit, unitsOf } from '../chaos/scenarios.ts'
import { joinSamples } from '../test/audio.ts'
import { startCluster, until } from '../test/cluster.ts'

/**
 * `pnpm verify:cancel [times]`: cancels a transcription in the middle of a chunk while another one waits for the same
 * slot: from the call to the start of the other's first unit. Exits 1 when it took more than a second.
 */
const times = Number(process.argv[2] ?? 5)
const TARGET_SECONDS = 1

const folder = await mkdtemp(join(tmpdir(), 'sc-cancel-'))
const cluster = await startCluster({ workers: 1, workerEnv: { OMP_NUM_THREADS: '1' } })
const seconds: number[] = []
try {
  const { path } = await joinSamples(300, folder)
  for (let time = 0; time < times; time++) {
    const jobId = await cluster.submit(path, { reuse: 'false' })
    await runningUnit(cluster, jobId)
    // Somewhere in the decoding, not at its start.
    await new Promise(resolve => setTimeout(resolve, 1_500 + 400 * time))
    const waiting = await cluster.submit(path, { reuse: 'false' })
    await until('a unit of the other job waits', 20_000, async () => (await unitsOf(cluster, waiting)).length > 0)
    await runningUnit(cluster, jobId)
    const cancelledMs = Date.now()
    await cluster.api(`/transcribe/${jobId}`, { method: 'DELETE' })
    const { unit } = await runningUnit(cluster, waiting)
    seconds.push((Date.parse(unit.startedAt as string) - cancelledMs) / 1000)
    await cluster.api(`/transcribe/${waiting}`, { method: 'DELETE' })
    const { status } = await cluster.finished(jobId)
    if (status !== 'CANCELLED') throw new Error(`job ${jobId} is ${status} after it was cancelled`)
  }
} finally {
  await cluster.stop()
  await rm(folder, { recursive: true, force: true })
}
const holds = Math.max(...seconds) <= TARGET_SECONDS
console.log(describeMachine())
console.log(`${holds ? 'holds' : 'MISSED'}: the next unit started ${spread(seconds, 2)} s after the call`)
process.exit(holds ? 0 : 1)
