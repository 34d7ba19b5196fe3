import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { loadConfig, REPO_DIR } from '@sc/shared/config.ts'
import { joinSamples, nameOf, sharedAudio } from '../test/audio.ts'
import { startCluster } from '../test/cluster.ts'
import { describeMachine, spread } from './figures.ts'

/**
 * What the cluster costs: `node bench/overhead.ts [runs] [threads]`. One worker with its model loaded, from the request
 * to the finished job, against the same windows decoded in a Python loop and against faster-whisper's batched pipeline on
 * the whole file; in turn, with the same threads.
 */
const runs = Number(process.argv[2] ?? 5)
const threads = process.argv[3] ?? '1'

const folder = await mkdtemp(join(tmpdir(), 'sc-bench-overhead-'))
const recording = sharedAudio('en-long.ogg') ?? (await joinSamples(300, folder)).path
await promisify(execFile)(process.execPath, [
  join(REPO_DIR, 'apps/master/src/transcription/plan-cli.ts'),
  recording,
  '--out',
  folder
])
const cluster = await startCluster({ workers: 1, env: { LOG_LEVEL: 'info' }, workerEnv: { OMP_NUM_THREADS: threads } })
const python = spawn(
  join(REPO_DIR, '.venv/bin/python'),
  [
    join(REPO_DIR, 'bench/overhead_loop.py'),
    ...['--plan', folder, '--recording', recording],
    ...['--models-dir', loadConfig().modelsDir, '--threads', threads]
  ],
  { stdio: ['pipe', 'pipe', 'inherit'] }
)
const answers = createInterface({ input: python.stdout })[Symbol.asyncIterator]()
const seconds: Record<'cluster' | 'loop' | 'batched', number[]> = { cluster: [], loop: [], batched: [] }
try {
  await answers.next()
  console.log(`${describeMachine()}; ${nameOf(recording)}, base int8, ${threads} thread(s)`)
  for (let run = 0; run <= runs; run++) {
    const startMs = performance.now()
    await transcribe()
    const took = {
      cluster: (performance.now() - startMs) / 1000,
      loop: await ask('loop'),
      batched: await ask('batched')
    }
    // The first round loads models and warms caches.
    if (run > 0) for (const [name, value] of Object.entries(took)) seconds[name as keyof typeof seconds].push(value)
    console.log(run === 0 ? 'warm-up' : `run ${run}`, JSON.stringify(took))
  }
  const against = (name: 'loop' | 'batched') =>
    spread(
      seconds.cluster.map((value, at) => value / (seconds[name][at] as number)),
      3
    )
  console.log(`cluster                      ${spread(seconds.cluster, 2)} s`)
  console.log(`same windows, Python loop    ${spread(seconds.loop, 2)} s, cluster / loop ${against('loop')}`)
  console.log(`faster-whisper batched (8)   ${spread(seconds.batched, 2)} s, cluster / batched ${against('batched')}`)
} finally {
  python.kill()
  await cluster.stop()
  await rm(folder, { recursive: true, force: true })
}

/** From the request to the `done` event, as `sc transcribe` follows a job. */
async function transcribe(): Promise<void> {
  const jobId = await cluster.submit(recording, { reuse: 'false', model: 'base' })
  const events = await cluster.api(`/transcribe/${jobId}/events`)
  const text = await events.text()
  if (!text.includes('"status":"COMPLETED","error":null')) throw new Error(`job ${jobId} failed: ${text.slice(-500)}`)
}

async function ask(what: 'loop' | 'batched'): Promise<number> {
  python.stdin.write(`${what}\n`)
  const answer = await answers.next()
  return (JSON.parse(answer.value as string) as { seconds: number }).seconds
}
