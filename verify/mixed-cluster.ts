import { describeMachine } from '../bench/figures.ts'
import { idleStretches, type Ran, runOneByOne, runUnits, startMixedCluster, TASKS } from '../test/mixed-cluster.ts'

/**
 * `pnpm verify:mixed [rounds]`: workers with GPUs of 24, 8, 4 and no GB, and units of 150 ms that need 20, 7, 4 and no GB:
 * how long a slot runs nothing although a unit waits that it could run. Exits 1 when one does so for more than 100 ms.
 */
const rounds = Number(process.argv[2] ?? 60)
const TARGET_MS = 100
const BURST = TASKS.flatMap(task => Array.from({ length: 25 }, () => task))

const cluster = await startMixedCluster()
let missed = 0
try {
  console.log(describeMachine())
  say(`one to three units after a pause, ${rounds} times`, await runOneByOne(cluster, rounds))
  say(`${BURST.length} units submitted at once`, await runUnits(cluster, BURST))
} finally {
  await cluster.stop()
}
process.exit(missed === 0 ? 0 : 1)

function say(what: string, ran: Ran[]): void {
  const sorted = idleStretches(ran).sort((a, b) => a - b)
  const [middle, most, longest] = [0.5, 0.95, 1].map(share => sorted[Math.ceil(share * sorted.length) - 1] ?? 0)
  const holds = (longest as number) <= TARGET_MS
  if (!holds) missed++
  const figures = `${middle?.toFixed(0)} ms (p50), ${most?.toFixed(0)} ms (p95), ${longest?.toFixed(0)} ms at most`
  console.log(`${holds ? 'holds ' : 'MISSED'}  ${what}: a slot was idle beside a unit for ${figures}`)
}
