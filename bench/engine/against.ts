import { loadavg } from 'node:os'
import { percentile, spread } from '../figures.ts'
import type { ClusterPart } from './cluster-part.ts'

export interface Pair {
  /** Of this checkout, and of the one that it is compared with. */
  ours: Round
  theirs: Round
}

interface Round {
  unitsPerSecond: number
  p50Ms: number
  p99Ms: number
}

export interface PairOptions {
  units: number
  oneAtATime: number
  pairs: number
  /** Jobs of so many units in a turn: one by itself takes two seconds, in which the machine may have something else to do. */
  jobs: number
}

/** Both clusters run all the time, and take turns as to who begins: the first of a pair is slower. One pair is cold. */
export async function measurePairs(ours: ClusterPart, theirs: ClusterPart, options: PairOptions): Promise<Pair[]> {
  const pairs: Pair[] = []
  for (let pair = 0; pair <= options.pairs; pair++) {
    const jobs = pair === 0 ? 1 : options.jobs
    const first = await measure(pair % 2 === 0 ? ours : theirs, { ...options, jobs })
    const second = await measure(pair % 2 === 0 ? theirs : ours, { ...options, jobs })
    pairs.push(pair % 2 === 0 ? { ours: first, theirs: second } : { ours: second, theirs: first })
    console.log(
      `${pair === 0 ? 'cold' : `pair ${pair}`}: ${JSON.stringify(pairs.at(-1))}; load ${loadavg()[0]?.toFixed(2)}`
    )
  }
  return pairs
}

async function measure(part: ClusterPart, { units, oneAtATime, jobs }: PairOptions): Promise<Round> {
  let seconds = 0
  for (let job = 0; job < jobs; job++) seconds += await part.runUnits(units)
  const unitsPerSecond = Math.round((jobs * units) / seconds)
  const times = await part.oneAtATime(oneAtATime)
  return { unitsPerSecond, p50Ms: percentile(times, 0.5), p99Ms: percentile(times, 0.99) }
}

/** What is printed: each figure of both, and ours / theirs pair by pair. */
export function describePairs([cold, ...warm]: Pair[]): string[] {
  const row = (name: string, pairs: Pair[], figure: (round: Round) => number): string => {
    const of = (whose: keyof Pair) => pairs.map(pair => figure(pair[whose]))
    const ratios = pairs.map(pair => figure(pair.ours) / figure(pair.theirs))
    return `  ${name.padEnd(34)} ${spread(of('ours'))} | ${spread(of('theirs'))} | ${spread(ratios, 2)}`
  }
  return [
    'this checkout | the other | this / the other',
    ...(cold ? [row('units in a second, first round', [cold], round => round.unitsPerSecond)] : []),
    row('units in a second', warm, round => round.unitsPerSecond),
    row('submit to started, p50 in ms', warm, round => round.p50Ms),
    row('submit to started, p99 in ms', warm, round => round.p99Ms)
  ]
}
