import { spawn } from 'node:child_process'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { connectDatabase } from '../apps/master/src/database/connect.ts'
import { describeMachine } from '../bench/figures.ts'
import { nameOf, sharedAudio } from '../test/audio.ts'
import { startCluster, type Transcript } from '../test/cluster.ts'
import { fingerprint, firstDifference } from './fingerprint.ts'

/**
 * `pnpm verify:identity-stress [FILE] [--rounds 60] [--workers 3] [--chunk-seconds 30] [--busy 4] [--keep FOLDER]`: what
 * `verify:identity` compares, while as many other programs as `busy` compute without an end. The first transcript, of one
 * worker with 150 s a chunk and nothing beside, says what is right. Of a round that differs, `--keep` has both documents, the
 * units with their inputs and outputs, and the logs of all processes. Exits 1 when one differed.
 */
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '60' },
    workers: { type: 'string', default: '3' },
    'chunk-seconds': { type: 'string', default: '30' },
    busy: { type: 'string', default: '4' },
    keep: { type: 'string' }
  }
})
const recording = positionals[0] ?? sharedAudio('en-long.ogg') ?? ''
if (recording === '') throw new Error('Give a recording: there is none beside the project.')

const cluster = await startCluster({ workers: 1 })
const loops: Array<ReturnType<typeof spawn>> = []
let differences = 0
try {
  const right = (await cluster.transcribe(recording, { chunk_seconds: '150', reuse: 'false' })).document
  while (cluster.workers.size < Number(values.workers)) await cluster.startWorker(`worker-${cluster.workers.size + 1}`)
  for (let n = 0; n < Number(values.busy); n++) loops.push(spawn(process.execPath, ['-e', 'for (;;) {}']))
  console.log(`${describeMachine()}; ${nameOf(recording)}; ${values.workers} workers, ${values.busy} loops beside`)
  for (let round = 1; round <= Number(values.rounds); round++) await compare(round, right)
} finally {
  for (const loop of loops) loop.kill('SIGKILL')
  await cluster.stop()
}
console.log(`${differences} of ${values.rounds} rounds differ`)
process.exit(differences === 0 ? 0 : 1)

async function compare(round: number, right: Transcript): Promise<void> {
  const fields = { chunk_seconds: values['chunk-seconds'], reuse: 'false' }
  const { job, document } = await cluster.transcribe(recording, fields)
  const [expected, text] = [fingerprint(right), fingerprint(document)]
  const same = expected === text
  console.log(`${round}: ${same ? 'same' : 'DIFFERS'}; load ${(loadavg()[0] as number).toFixed(1)}`)
  if (same) return
  differences++
  console.log(firstDifference(expected, text))
  if (values.keep) await keep(join(values.keep, `round-${round}`), job.jobId, { right, now: document })
}

async function keep(folder: string, jobId: string, documents: Record<string, Transcript>): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, document] of Object.entries(documents))
    await writeFile(join(folder, `${name}.json`), JSON.stringify(document, null, 2))
  const data = join(cluster.folder, 'data')
  const { port, password } = JSON.parse(await readFile(join(data, 'postgres/settings.json'), 'utf8'))
  const db = connectDatabase(`postgres://sc:${password}@127.0.0.1:${port}/postgres`, () => {})
  try {
    for (const table of ['jobs', 'units'] as const) {
      const rows = await db
        .selectFrom(table)
        .selectAll()
        .where(table === 'jobs' ? 'id' : 'job_id', '=', jobId)
        .execute()
      await writeFile(join(folder, `${table}.json`), JSON.stringify(rows, null, 2))
    }
  } finally {
    await db.destroy()
  }
  await cp(join(data, 'logs'), join(folder, 'logs'), { recursive: true })
}
