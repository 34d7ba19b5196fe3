import { copyFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { REPO_DIR } from '@sc/shared/config.ts'
import { describeMachine, percentile } from '../bench/figures.ts'
import { ATTACKS } from '../test/attacks/attacks.ts'
import { openThief } from '../test/attacks/thief.ts'
import { type Cluster, startCluster, until } from '../test/cluster.ts'

/**
 * `pnpm verify:attacks [--write]`: what the units of another worker feel while somebody attacks with a worker's login: how long
 * a unit that does nothing takes from its request to its result, and how many there are in a second, quiet and during each
 * attack, by turns. `--write` keeps the table in docs/attacks.md.
 */
const QUIET_MS = 5_000
const ATTACK_MS = 8_000
const PROMISED = 1.5

interface Figures {
  latencyMs: number
  perSecond: number
}

const cluster = await startCluster({ workers: 0, tasksDir: true })
const rows: string[] = []
let worst = 0
try {
  copyFileSync(join(REPO_DIR, 'test/fixtures/waits.py'), join(cluster.folder, 'tasks/waits.py'))
  await cluster.startWorker('worker-1')
  const load = loadavg()[0]?.toFixed(1)
  await measure(cluster, AbortSignal.timeout(QUIET_MS))
  for (const attack of ATTACKS) {
    const theft = await openThief(cluster, 'worker-1')
    await until("the victim's unit is done", 20_000, async () => {
      const { status } = await cluster.json<{ status: string }>(`/api/jobs/${theft.thief.unitId.split('.')[0]}`)
      return status === 'COMPLETED'
    })
    const quiet = await measure(cluster, AbortSignal.timeout(QUIET_MS))
    const over = AbortSignal.timeout(ATTACK_MS)
    const attacking = attack.run(theft.thief, over).catch(() => {})
    const during = await measure(cluster, over)
    await attacking
    await cluster.api(`/api/workers/${theft.thief.id}`, { method: 'DELETE' })
    await theft.end()
    await until('it is gone', 10_000, async () => (await cluster.api('/readyz')).ok)
    const slower = during.latencyMs / quiet.latencyMs
    worst = Math.max(worst, slower)
    const row = `| ${attack.name} | ${attack.outcome} | ${quiet.latencyMs.toFixed(1)} | ${during.latencyMs.toFixed(1)} | ${slower.toFixed(2)} | ${(during.perSecond / quiet.perSecond).toFixed(2)} |`
    rows.push(row)
    console.log(row)
  }
  console.log(
    `worst: ${worst.toFixed(2)} times as long (promised: ${PROMISED}); ${describeMachine()}; load ${load} before`
  )
  if (process.argv.includes('--write')) await writePage(load ?? '')
} finally {
  await cluster.stop()
}
// A thief whom Redis refuses tries for ever.
process.exit(worst > PROMISED ? 1 : 0)

/** One unit after the other until the signal. */
async function measure({ json }: Cluster, signal: AbortSignal): Promise<Figures> {
  const latencies: number[] = []
  const startMs = performance.now()
  while (!signal.aborted) {
    const sinceMs = performance.now()
    const { jobId } = await json<{ jobId: string }>('/api/tasks/wait-none', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: { ms: 0 } })
    })
    while ((await json<{ status: string }>(`/api/jobs/${jobId}`)).status !== 'COMPLETED');
    latencies.push(performance.now() - sinceMs)
  }
  return { latencyMs: percentile(latencies, 0.5), perSecond: (latencies.length / (performance.now() - startMs)) * 1000 }
}

async function writePage(load: string): Promise<void> {
  const page = `# What others feel of an attack

\`pnpm verify:attacks\`: somebody has a worker's login and does what the first column says, for ${ATTACK_MS / 1000} s or until Redis or the
master ends it; meanwhile another worker's units of nothing go on, one after the other, from request to result. Median in
ms, quiet (${QUIET_MS / 1000} s before) and during; the last two columns are ratios. ${describeMachine()}; load ${load} before.

| attack | outcome | quiet | during | latency | throughput |
|---|---|---|---|---|---|
${rows.join('\n')}
`
  await writeFile(join(REPO_DIR, 'docs/attacks.md'), page)
}
