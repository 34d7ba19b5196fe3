import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { childEnv, REPO_DIR } from '@sc/shared/config.ts'
import { createDoor } from '../apps/master/test/http/door.ts'
import { describeMachine, spread } from '../bench/figures.ts'
import { startCluster, until } from '../test/cluster.ts'

/**
 * `pnpm verify:revoke [times]`: revokes workers that joined by a code, and waits for their process to end: connected, and
 * where they cannot hear of it, frozen or cut off for AWAY_MS; then the time counts from when they are back. Exits 1
 * when one took longer than is promised.
 */
const times = Number(process.argv[2] ?? 10)
const AWAY_MS = 2_000
const PROMISED = { connected: 5, frozen: 15, 'cut off': 15 }
type How = keyof typeof PROMISED

const folder = await mkdtemp(join(tmpdir(), 'sc-revoke-'))
const cluster = await startCluster({ workers: 0 })
const seconds: Record<How, number[]> = { connected: [], frozen: [], 'cut off': [] }
let worker: ChildProcess | undefined
try {
  for (let time = 0; time < times; time++)
    for (const how of Object.keys(PROMISED) as How[]) seconds[how].push(await revoke(how, `${how} ${time}`))
} finally {
  worker?.kill('SIGKILL')
  await cluster.stop()
  await rm(folder, { recursive: true, force: true })
}

/** Seconds from the revocation, or from when the worker could hear of it, to the end of its process. */
async function revoke(how: How, title: string): Promise<number> {
  const name = title.replace(/ /g, '-')
  const { command } = await cluster.json<{ command: string }>('/api/cluster/join-codes', { method: 'POST' })
  const broker = new URL(command.split(' ').at(-1) as string)
  const door = await createDoor(broker.href)
  const { href } = Object.assign(broker, { host: new URL(door.url).host })
  const args = ['apps/worker/src/main.js', 'run', '--name', name, '--broker', href, '--exit-with-parent']
  const env = childEnv({ SC_DATA_DIR: folder, LOG_LEVEL: 'warn' })
  worker = spawn(process.execPath, args, { cwd: REPO_DIR, env, stdio: ['pipe', 'ignore', 'ignore'] })
  const ended = once(worker, 'exit')
  let id = ''
  await until(`${name} is online`, 60_000, async () => {
    const { items } = await cluster.json<{ items: WorkerView[] }>('/api/workers')
    const row = items.find(item => item.name === name && item.status === 'online')
    id = row?.id ?? ''
    return row !== undefined && row.slots.length > 0 && row.slots.every(({ state }) => state === 'idle')
  })
  if (how === 'frozen') worker.kill('SIGSTOP')
  if (how === 'cut off') await door.shut()
  let sinceMs = performance.now()
  const { ok } = await cluster.api(`/api/workers/${id}`, { method: 'DELETE' })
  if (!ok) throw new Error(`${name} could not be revoked`)
  if (how !== 'connected') {
    await sleep(AWAY_MS)
    if (how === 'frozen') worker.kill('SIGCONT')
    else await door.open()
    sinceMs = performance.now()
  }
  const [exitCode] = await ended
  const tookMs = performance.now() - sinceMs
  if (exitCode !== 1) throw new Error(`${name} ended with ${exitCode}`)
  await door.shut()
  return tookMs / 1000
}

interface WorkerView {
  id: string
  name: string
  status: string
  slots: { state: string }[]
}

console.log(describeMachine())
let holds = true
for (const [how, promised] of Object.entries(PROMISED) as [How, number][]) {
  const isKept = Math.max(...seconds[how]) <= promised
  holds &&= isKept
  console.log(`${isKept ? 'holds' : 'MISSED'}: ${how}: its process had ended after ${spread(seconds[how], 2)} s`)
}
process.exit(holds ? 0 : 1)
