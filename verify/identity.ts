import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { joinRecordings, joinSamples, nameOf, sharedAudio } from '../test/audio.ts'
import { startCluster } from '../test/cluster.ts'
import { fingerprint, firstDifference } from './fingerprint.ts'

/**
 * `pnpm verify:identity [FILE…] [--workers 1,2,3] [--chunk-seconds 30,60,150,600]`: transcribes each recording once for
 * every number of workers and chunk length, always anew, and compares text and word times byte for byte. Exits 1 when
 * any two differ. Without files: the three longest recordings beside the project and 25 min joined from them, or the
 * samples.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    workers: { type: 'string', default: '1,2,3' },
    'chunk-seconds': { type: 'string', default: '30,60,150,600' },
    model: { type: 'string', default: 'auto' },
    report: { type: 'string' }
  }
})
const workerCounts = values.workers.split(',').map(Number)
const chunkLengths = values['chunk-seconds'].split(',').map(Number)

const folder = await mkdtemp(join(tmpdir(), 'sc-identity-'))
const recordings = positionals.length > 0 ? positionals : await longRecordings()
const cluster = await startCluster({ workers: 0, workerEnv: { OMP_NUM_THREADS: '1' } })
const first = new Map<string, string>()
const rows: string[] = []
let differences = 0
try {
  for (const workers of workerCounts) {
    while (cluster.workers.size < workers) await cluster.startWorker(`worker-${cluster.workers.size + 1}`)
    for (const chunkSeconds of chunkLengths) {
      for (const recording of recordings) await compare(recording, workers, chunkSeconds)
    }
  }
} finally {
  await cluster.stop()
  await rm(folder, { recursive: true, force: true })
}
process.stdout.write(`${differences === 0 ? 'identical' : `${differences} differ`}: ${rows.length} transcriptions\n`)
if (values.report) await writeFile(values.report, `${rows.join('\n')}\n`)
process.exit(differences === 0 ? 0 : 1)

async function compare(recording: string, workers: number, chunkSeconds: number): Promise<void> {
  const startMs = performance.now()
  const fields = { chunk_seconds: String(chunkSeconds), reuse: 'false', model: values.model }
  const { document } = await cluster.transcribe(recording, fields)
  const text = fingerprint(document)
  const expected = first.get(recording) ?? text
  first.set(recording, expected)
  const same = text === expected
  if (!same) differences++
  const speed = document.duration_seconds / ((performance.now() - startMs) / 1000)
  const { chunks, windows } = document.chunking
  const row = `| ${nameOf(recording)} | ${workers} | ${chunkSeconds} | ${chunks} | ${windows} | ${speed.toFixed(1)}x | ${same ? 'same' : 'DIFFERS'} |`
  rows.push(row)
  process.stdout.write(`${row}${same ? '' : `\n${firstDifference(expected, text)}`}\n`)
}

async function longRecordings(): Promise<string[]> {
  const names = ['de-long.ogg', 'en-long.ogg', 'printing-book.flac']
  const found = names.flatMap(name => sharedAudio(name) ?? [])
  if (found.length < names.length) return [(await joinSamples(200, folder)).path]
  const parts = [...found, ...found.slice(0, 2)]
  const { path } = await joinRecordings(parts, [0.5, 3, 1.2], join(folder, 'joined-25-min.flac'))
  return [...found, path]
}
