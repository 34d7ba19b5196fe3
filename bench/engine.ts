import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { REPO_DIR } from '@sc/shared/config.ts'
import { startRedis } from '../packages/shared/test/start-redis.ts'
import { describePairs, measurePairs } from './engine/against.ts'
import { type ClusterPart, startClusterPart } from './engine/cluster-part.ts'
import { installPeers, measureBullmq, measureCelery, measureRay } from './engine/peers.ts'
import { describeMachine, percentile, spread } from './figures.ts'

/**
 * What a unit costs, against BullMQ by itself, Ray and Celery on the same machine, in turn:
 * `node bench/engine.ts [--units 10000] [--rounds 3] [--workers 4]`. Every result of the cluster is in PostgreSQL. The
 * first round, with everything cold, is a row of its own. Also ten times the units, and how quickly the API answers while
 * they wait.
 *
 * `node bench/engine.ts --against DIR [--pairs 3] [--jobs 4]` compares the cluster with that of another checkout instead, whose
 * dependencies are installed: both by turns, without the others.
 */
const { values } = parseArgs({
  options: {
    units: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '3' },
    workers: { type: 'string', default: '4' },
    'one-at-a-time': { type: 'string', default: '300' },
    against: { type: 'string' },
    pairs: { type: 'string', default: '3' },
    jobs: { type: 'string', default: '4' }
  }
})
const UNITS = Number(values.units)
const WORKERS = Number(values.workers)
const ONE_AT_A_TIME = Number(values['one-at-a-time'])

if (values.against === undefined) await compareWithPeers()
else await compareWithCheckout(resolve(values.against))

async function compareWithCheckout(repo: string): Promise<void> {
  if (!existsSync(join(repo, 'node_modules')) || !existsSync(join(repo, 'test/cluster.ts')))
    throw new Error(`${repo} is no checkout with its dependencies installed: run node bootstrap/install.mjs there`)
  const ours = await startClusterPart(REPO_DIR, WORKERS)
  try {
    const theirs = await startClusterPart(repo, WORKERS)
    try {
      const counts = { pairs: Number(values.pairs), jobs: Number(values.jobs) }
      const options = { units: UNITS, oneAtATime: ONE_AT_A_TIME, ...counts }
      const pairs = await measurePairs(ours, theirs, options)
      console.log(`${describeMachine()}; ${WORKERS} workers each; against ${repo}`)
      for (const line of describePairs(pairs)) console.log(line)
    } finally {
      await theirs.stop()
    }
  } finally {
    await ours.stop()
  }
}

async function compareWithPeers(): Promise<void> {
  await installPeers(text => console.log(text))
  const cluster = await startClusterPart(REPO_DIR, WORKERS)
  // Celery's client logs in by HELLO, which the cluster's Redis has not.
  const redis = await startRedis()
  try {
    const cold = await measureRound(cluster, redis.url, 'first round')
    const rounds: Round[] = []
    for (let round = 1; round <= Number(values.rounds); round++)
      rounds.push(await measureRound(cluster, redis.url, `round ${round}`))
    print(cold, rounds)
    const small = await cluster.runUnits(UNITS)
    const large = await cluster.runUnits(10 * UNITS)
    console.log(`${10 * UNITS} units take ${(large / small).toFixed(2)} times as long as ${UNITS}`)
    for (const [path, list] of Object.entries(await cluster.askWhileManyWait(10 * UNITS)))
      console.log(`  GET ${path}: p95 ${percentile(list, 0.95).toFixed(0)} ms with ${10 * UNITS} units waiting`)
  } finally {
    await cluster.stop()
    await redis.stop()
  }
}

interface Round {
  unitsPerSecond: Record<string, number>
  latencies: Record<string, number[]>
  versions: string
}

async function measureRound(cluster: ClusterPart, celeryUrl: string, name: string): Promise<Round> {
  const bullmq = await measureBullmq(cluster.redisUrl, UNITS)
  const ray = await measureRay(UNITS)
  const celery = await measureCelery(celeryUrl, Math.min(UNITS, 3_000))
  const unitsPerSecond = {
    'BullMQ, processing': bullmq.processing,
    'BullMQ, adding and processing': bullmq.throughput,
    'Ray tasks': ray.throughput,
    'Ray actor calls': ray.actorCalls,
    Celery: celery.throughput,
    cluster: UNITS / (await cluster.runUnits(UNITS))
  }
  const latencies = {
    BullMQ: bullmq.latencies,
    Ray: ray.latencies,
    Celery: celery.latencies,
    cluster: await cluster.oneAtATime(ONE_AT_A_TIME)
  }
  const rounded = Object.entries(unitsPerSecond).map(([system, value]) => `${system} ${value.toFixed(0)}`)
  console.log(`${name}: ${rounded.join(', ')}`)
  return { unitsPerSecond, latencies, versions: `Ray ${ray.version}, Celery ${celery.version}` }
}

function print(cold: Round, rounds: Round[]): void {
  console.log(`${describeMachine()}; ${cold.versions}; ${WORKERS} workers`)
  for (const [title, some] of [
    ['units in a second in the first round; cluster / it', [cold]],
    ['units in a second, median (least to most); cluster / it', rounds]
  ] as const) {
    console.log(title)
    for (const system of Object.keys(cold.unitsPerSecond)) {
      const of = (name: string) => some.map(({ unitsPerSecond }) => unitsPerSecond[name] ?? Number.NaN)
      const ratios = of('cluster').map((value, at) => value / (of(system)[at] ?? Number.NaN))
      console.log(`  ${system.padEnd(30)} ${spread(of(system))}  ${system === 'cluster' ? '' : spread(ratios, 2)}`)
    }
  }
  console.log('submit to started, one at a time, in ms: p50, p99')
  for (const system of Object.keys(cold.latencies)) {
    const all = rounds.flatMap(({ latencies }) => latencies[system] ?? [])
    console.log(`  ${system.padEnd(30)} ${percentile(all, 0.5).toFixed(1)}, ${percentile(all, 0.99).toFixed(1)}`)
  }
}
