import { mkdtemp, rm } from 'node:fs/promises'
import { loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { joinSamples, nameOf, sharedAudio } from '../test/audio.ts'
import { type Cluster, startCluster } from '../test/cluster.ts'
import { describeMachine, spread } from './figures.ts'
import { gapsOf, idleShare, type RanUnit } from './link/idle.ts'
import { proveLink } from './link/prove-link.ts'
import { createSlowLink, type SlowLink } from './link/slow-link.ts'

/**
 * `pnpm bench:link [--rounds 3] [--delay 25] [--mbit 20] [FILE]`: how long a slot is idle between two chunks when its
 * worker reaches Redis and the master over a link of 50 ms round trip and 20 Mbit/s in each direction. A real master and
 * a real worker with one slot; the link is a proxy (`link/slow-link.ts`), measured first. Exits 1 above 2 %.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    delay: { type: 'string', default: '25' },
    mbit: { type: 'string', default: '20' }
  }
})
const TARGET = 0.02
const MODEL = 'base'

const folder = await mkdtemp(join(tmpdir(), 'sc-bench-link-'))
const link = createSlowLink({ delayMs: Number(values.delay), bitsPerSecond: Number(values.mbit) * 1e6 })
const shares: number[] = []
try {
  const proven = await proveLink(link)
  console.log(`${describeMachine()}; load ${load()}`)
  console.log(`link: round trip ${spread(proven.roundTripsMs, 1)} ms, ${spread(proven.megabitsPerSecond, 1)} Mbit/s`)
  const recording = positionals[0] ?? sharedAudio('en-long.ogg') ?? (await joinSamples(300, folder)).path
  const cluster = await startCluster({ workers: 0, env: { LOG_LEVEL: 'warn' } })
  try {
    await startFarWorker(cluster, link)
    await sayVersions(cluster, recording)
    // The first run loads the model.
    await measure(cluster, recording)
    for (let round = 1; round <= Number(values.rounds); round++) {
      const gaps = await measure(cluster, recording)
      const share = idleShare(gaps)
      shares.push(share)
      const idle = spread(gaps.map(({ idleMs }) => idleMs))
      const ran = spread(gaps.map(({ ranMs }) => ranMs))
      console.log(
        `round ${round}: ${percent(share)} % idle; between two chunks ${idle} ms; a chunk ran ${ran} ms; load ${load()}`
      )
    }
  } finally {
    await cluster.stop()
  }
} finally {
  link.close()
  await rm(folder, { recursive: true, force: true })
}
const median = shares.toSorted((a, b) => a - b)[shares.length >> 1] ?? Number.NaN
const text = spread(
  shares.map(share => share * 100),
  2
)
console.log(`${median <= TARGET ? 'holds' : 'MISSED'}: a slot is idle between two chunks for ${text} % of their time`)
process.exit(median <= TARGET ? 0 : 1)

/** Joins by a code, as from another machine; all its connections go over the link. */
async function startFarWorker(cluster: Cluster, over: SlowLink): Promise<void> {
  const { command } = await cluster.json<{ command: string }>('/api/cluster/join-codes', { method: 'POST' })
  const broker = new URL(command.split(' ').at(-1) as string)
  const master = new URL(cluster.url)
  broker.host = `127.0.0.1:${await over.to(Number(broker.port))}`
  master.host = `127.0.0.1:${await over.to(Number(master.port))}`
  await cluster.startWorker('far', ['--broker', broker.href, '--concurrency', '1'], { SC_MASTER_URL: master.origin })
}

async function measure(cluster: Cluster, recording: string) {
  const { job } = await cluster.transcribe(recording, { model: MODEL, reuse: 'false' })
  const { items } = await cluster.json<{ items: RanUnit[] }>(`/api/jobs/${job.jobId}/units?limit=1000`)
  return gapsOf(items.filter(({ task }) => task === 'transcribe.chunk'))
}

async function sayVersions(cluster: Cluster, recording: string): Promise<void> {
  const { items } = await cluster.json<{ items: Array<{ version: string; libraries: Record<string, unknown> }> }>(
    '/api/workers'
  )
  const { version, libraries } = items[0] ?? {}
  console.log(`${nameOf(recording)}, model ${MODEL}, version ${version}, ${JSON.stringify(libraries)}`)
}

function load(): string {
  return loadavg()
    .map(value => value.toFixed(2))
    .join(' ')
}

function percent(share: number): string {
  return (share * 100).toFixed(2)
}
