import { execFile } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { REPO_DIR } from '@sc/shared/config.ts'
import { spread } from '../../bench/figures.ts'
import { writeFaults } from '../../chaos/faults-page.ts'
import { joinSamples } from '../audio.ts'
import { until } from '../cluster.ts'
import { HTTP_PORT, MASTER, MAY_LOG_IN, startTailnetCluster, type TailnetCluster } from './cluster.ts'
import { type Recovery, TAILNET_FAULTS, type TailnetFault } from './faults.ts'
import { DOMAIN, netnsOf, removeNamespaces } from './namespaces.ts'
import { buildPrograms, type Programs, whyNoTailnet } from './programs.ts'
import { startTailnet, type TestTailnet } from './tailnet.ts'

/**
 * `pnpm test:tailnet`: a master, started before Tailscale is up, and two workers on a tailnet of their own in network
 * namespaces of this machine; a third joins; users log in; ports are scanned; links and daemons fail. `--quick` leaves
 * the longest fault out, `--times N` does each so often, `--write` puts the times into `docs/faults.md`, `--require`
 * makes a machine that cannot do it a failure, `--keep FOLDER` keeps the logs of a failure.
 */
const { values } = parseArgs({
  options: {
    quick: { type: 'boolean' },
    times: { type: 'string', default: '1' },
    write: { type: 'boolean' },
    require: { type: 'boolean' },
    keep: { type: 'string' }
  }
})
const JOIN_LIMIT_S = 60
const AUDIO_SECONDS = 150
const WORKERS = ['worker1', 'worker2']
const NEWCOMER = 'worker3'

const reason = whyNoTailnet()
if (reason) skip(reason)
const programs = built()

const folder = await mkdtemp(join(tmpdir(), 'sct-'))
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    // Every process in them ends, too.
    removeNamespaces()
    rmSync(folder, { recursive: true, force: true })
    process.exit(130)
  })
const broken: string[] = []
/** Of each fault, how it went each time. */
const times = new Map<TailnetFault, Array<Recovery & { same: boolean }>>()
const joins: string[] = []
let tailnet: TestTailnet | undefined
let cluster: TailnetCluster | undefined
try {
  tailnet = await startTailnet([MASTER, ...WORKERS, NEWCOMER], programs, folder)
  say('the tailnet is up')
  cluster = await startTailnetCluster(tailnet, folder)
  for (const name of WORKERS) await cluster.startWorker(name)
  await cluster.online(WORKERS)
  say('the cluster is up')
  const { path } = await joinSamples(AUDIO_SECONDS, folder)
  const expected = await transcribe(cluster, path)
  await joinAnother(cluster, path, expected)
  await checkLogins(tailnet)
  await checkDoctor(cluster)
  await checkPorts(tailnet, NEWCOMER, [])
  await checkPorts(tailnet, MASTER, [HTTP_PORT, await cluster.redisPort()])
  await doFaults(tailnet, cluster, path, expected)
} catch (error) {
  broken.push(String((error as Error).stack))
} finally {
  await cluster?.stop()
  await tailnet?.stop()
  if (values.keep && broken.length > 0)
    cpSync(folder, values.keep, { recursive: true, filter: path => !path.endsWith('.sock') })
  await rm(folder, { recursive: true, force: true })
}

for (const line of broken) console.error(`BROKEN: ${line}`)
if (values.write && broken.length === 0) await writeFaults({ tailnet: page() })
process.exit(broken.length === 0 ? 0 : 1)

function say(line: string): void {
  console.log(`${performance.now().toFixed(0).padStart(7)} ms  ${line}`)
}

async function transcribe({ submit, finished, json }: TailnetCluster, path: string, jobId?: string): Promise<string> {
  const job = await finished(jobId ?? (await submit(path, { chunk_seconds: '30', reuse: 'false' })))
  if (job.status !== 'COMPLETED') throw new Error(`${job.status} ${JSON.stringify(job.error)}`)
  return (await json<{ transcription: string }>(`/transcribe/${job.jobId}/result`)).transcription
}

/** From the line that starts a worker to its first unit done. */
async function joinAnother(cluster: TailnetCluster, path: string, expected: string): Promise<void> {
  const jobId = await cluster.submit(path, { chunk_seconds: '30', reuse: 'false' })
  const pastedMs = performance.now()
  await cluster.startWorker(NEWCOMER)
  await until('the new worker has done a unit', JOIN_LIMIT_S * 1000, async () => {
    const workerId = await cluster.workerIdOf(NEWCOMER)
    const units = await cluster.units(jobId)
    return workerId !== '' && units.some(unit => unit.workerId === workerId && unit.status === 'DONE')
  })
  const seconds = ((performance.now() - pastedMs) / 1000).toFixed(1)
  joins.push(seconds)
  say(`a new worker had done its first unit ${seconds} s after its line was pasted`)
  if ((await transcribe(cluster, path, jobId)) !== expected) broken.push('joining: another text')
}

/** Who gets a session by whose machine they ask from. */
async function checkLogins(tailnet: TestTailnet): Promise<void> {
  const url = `http://${MASTER}.${DOMAIN}:${HTTP_PORT}`
  for (const name of [MAY_LOG_IN, 'worker2', MASTER]) {
    const command = ['netns', 'exec', netnsOf(name), process.execPath, 'test/tailnet/login.ts', url]
    const { stdout } = await promisify(execFile)('ip', command, { cwd: REPO_DIR })
    const { login, info, detail } = JSON.parse(stdout) as { login: number; info: number; detail: string }
    say(`${await tailnet.loginName(name)} logs in from ${name}: ${login} ${detail}`)
    if (`${login} ${info}` !== (name === MAY_LOG_IN ? '303 200' : '401 401'))
      broken.push(`logging in from ${name}: ${login} ${info} ${detail}`)
  }
}

/** The way to the master, as a worker's doctor sees it. */
async function checkDoctor(cluster: TailnetCluster): Promise<void> {
  const findings = await cluster.doctor('worker1')
  for (const [name, expected] of [
    ['master: name', new RegExp(`^${MASTER}.${DOMAIN} is 100\\.`)],
    ['master: path', /^direct over the tailnet, by 10\.213\.77\.10:/],
    ['master: packet size', /^tailscale0 has MTU 1280; 8000 bytes go through/]
  ] as const) {
    const { status = 'missing', found = '' } = findings.find(({ check }) => check === name) ?? {}
    say(`sc-worker doctor: ${status} ${name}: ${found}`)
    if (status !== 'ok' || !expected.test(found)) broken.push(`sc-worker doctor: ${status} ${name}: ${found}`)
  }
}

/** What another machine of the tailnet finds open, but for the port that tailscaled itself has there. */
async function checkPorts(tailnet: TestTailnet, name: string, expected: number[]): Promise<void> {
  const { Self } = JSON.parse(await tailnet.tailscale(name, 'status', '--json', '--peers=false'))
  const own = (Self.PeerAPIURL as string[] | null)?.map(url => Number(new URL(url).port)) ?? []
  const from = name === MASTER ? 'worker1' : MASTER
  for (const address of [tailnet.ip(name), tailnet.underlayIp(name)]) {
    const command = ['netns', 'exec', netnsOf(from), process.execPath, 'test/tailnet/scan.ts', address]
    const { stdout } = await promisify(execFile)('ip', command, { cwd: REPO_DIR })
    const open = (JSON.parse(stdout) as number[]).filter(port => !own.includes(port))
    const allowed = address === tailnet.ip(name) ? expected : []
    say(`open ports of ${name} at ${address}: ${open.join(', ') || 'none'}`)
    if (open.join() !== allowed.toSorted((a, b) => a - b).join())
      broken.push(`ports of ${name} at ${address}: ${open}, expected ${allowed}`)
  }
}

async function doFaults(tailnet: TestTailnet, cluster: TailnetCluster, path: string, expected: string): Promise<void> {
  const faults = values.quick ? TAILNET_FAULTS.filter(({ isLong }) => !isLong) : TAILNET_FAULTS
  for (const fault of Array.from({ length: Number(values.times) }, () => faults).flat()) {
    const { name, run } = fault
    const jobId = await cluster.submit(path, { chunk_seconds: '30', reuse: 'false' })
    const victim = await cluster.workerIdOf('worker1')
    await until('a unit runs on worker1', 60_000, async () =>
      (await cluster.units(jobId)).some(unit => unit.status === 'RUNNING' && unit.workerId === victim)
    )
    const recovery = await run({ tailnet, cluster, jobId })
    const [heard, unit] = [seconds([recovery.heardMs]), seconds([recovery.unitMs])]
    const same = (await transcribe(cluster, path, jobId)) === expected
    say(`${name}: ${same ? 'same text' : 'ANOTHER TEXT'}, heard after ${heard || '?'} s, a unit after ${unit || '?'} s`)
    if (!same) broken.push(`${name}: another text`)
    times.set(fault, [...(times.get(fault) ?? []), { ...recovery, same }])
    await cluster.online([...WORKERS, NEWCOMER])
  }
}

function seconds(found: Array<number | null>): string {
  const seen = found.filter(ms => ms !== null).map(ms => ms / 1000)
  return seen.length > 1 ? spread(seen, 1) : (seen[0]?.toFixed(1) ?? '')
}

function page(): string {
  const rows = [...times].map(([{ name, mustHold }, each]) => {
    const same = each.every(one => one.same) ? 'yes' : 'NO'
    return `| ${name} | ${mustHold} | ${same} | ${seconds(each.map(one => one.heardMs))} | ${seconds(each.map(one => one.unitMs))} |`
  })
  return `## On a tailnet

\`pnpm test:tailnet\` has a master and three workers of one thread each on a real tailnet of its own (tailscaled with tun
devices in network namespaces of one machine, ${cpus().length} cores), transcribes ${AUDIO_SECONDS} s of speech, and compares the text.
The times are from the end of the fault (the daemon is started, the link is whole, the way is another) to the next word of every
worker that was away (looked at every 4 s at the most), and to the next unit that begins or ends there (empty: none did, since the others had done the rest by then)${values.times === '1' ? '' : `; medians`}. A worker that joined by its master's MagicDNS name had done
its first unit ${joins.join(', ')} s after its line was pasted (model on disk); a scan from the master's machine found no open port on any worker.

| fault | must hold | same text | heard again s | next unit s |
|---|---|---|---|---|
${rows.join('\n')}
`
}

function skip(why: string): never {
  console.log(`the tests on a tailnet were skipped: ${why}`)
  process.exit(values.require ? 1 : 0)
}

/** Its modules come from Go's module proxy, which may be out of reach. */
function built(): Programs {
  try {
    return buildPrograms()
  } catch {
    return skip('Tailscale could not be built, for the reason that Go gave above')
  }
}
