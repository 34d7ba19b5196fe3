import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { joinSamples } from '../test/audio.ts'
import { startCluster } from '../test/cluster.ts'
import { writeFaults } from './faults-page.ts'
import { SCENARIOS } from './scenarios.ts'

/** `pnpm chaos [times]`: each fault several times on two workers; writes `docs/faults.md` with what was measured. */
const times = Number(process.argv[2] ?? 3)
const folder = await mkdtemp(join(tmpdir(), 'sc-chaos-'))
const cluster = await startCluster({ workers: 2, workerEnv: { OMP_NUM_THREADS: '1' } })
const fields = (chunkSeconds: number) => ({ chunk_seconds: String(chunkSeconds), reuse: 'false' })
const rows: string[] = []
let broken = 0
try {
  const { path } = await joinSamples(120, folder)
  const expected = (await cluster.transcribe(path, fields(30))).document.transcription
  for (const { name, mustHold, chunkSeconds, run } of SCENARIOS) {
    const recoveredSec: number[] = []
    let same = 0
    for (let time = 1; time <= times; time++) {
      process.stdout.write(`${name} (${time} of ${times}) … `)
      const jobId = await cluster.submit(path, fields(chunkSeconds))
      const recoveredMs = await run(cluster, jobId)
      const job = await cluster.finished(jobId)
      const result = job.status === 'COMPLETED' ? await cluster.json(`/transcribe/${jobId}/result`) : {}
      const ok = result.transcription === expected
      if (ok) same++
      else broken++
      if (recoveredMs !== null) recoveredSec.push(recoveredMs / 1000)
      process.stdout.write(
        `${ok ? 'same text' : `BROKEN: ${job.status}`}, ${((recoveredMs ?? 0) / 1000).toFixed(1)} s\n`
      )
    }
    const [median, most] = [quantile(recoveredSec, 0.5), quantile(recoveredSec, 1)]
    rows.push(`| ${name} | ${mustHold} | ${same} of ${times} | ${median} | ${most} |`)
  }
} finally {
  await cluster.stop()
  await rm(folder, { recursive: true, force: true })
}

await writeFaults({
  machine: `# What happens when something breaks

\`pnpm chaos\` does each of these to a running cluster (one master, two workers of one thread each, ${cpus().length} cores) while it
transcribes two minutes of speech, and compares the text with that of an undisturbed run. The times
are from the fault to the cluster having gone on (the lost unit runs again; the other worker was idle); the master's
are from its restart to its being ready.

| fault | must hold | same text | median s | most s |
|---|---|---|---|---|
${rows.join('\n')}
`
})
process.exit(broken === 0 ? 0 : 1)

function quantile(values: number[], part: number): string {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.round((sorted.length - 1) * part)]?.toFixed(1) ?? ''
}
