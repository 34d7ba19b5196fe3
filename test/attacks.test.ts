import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { closeRedis, connectRedis, type Redis, waitForRedis } from '@sc/shared/redis.ts'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ATTACKS } from './attacks/attacks.ts'
import { openThief, type Theft } from './attacks/thief.ts'
import { type Cluster, startCluster, until } from './cluster.ts'

/** What somebody can do with a worker's login, and with a join code, on a real cluster, while another worker goes on. */

let cluster: Cluster
const elsewhere = mkdtempSync(join(tmpdir(), 'sc-elsewhere-'))
const opened: Redis[] = []

beforeAll(async () => {
  cluster = await startCluster({ workers: 0, tasksDir: true })
  copyFileSync(join(import.meta.dirname, 'fixtures/waits.py'), join(cluster.folder, 'tasks/waits.py'))
  await cluster.startWorker('worker-1')
})
afterAll(async () => {
  await Promise.all(opened.map(closeRedis))
  await cluster.stop()
  rmSync(elsewhere, { recursive: true, force: true })
})

async function findings(name: string): Promise<string[]> {
  const { items } = await cluster.json<{ items: Array<{ check: string; found: string }> }>('/api/cluster/doctor')
  return items.filter(({ check }) => check.startsWith(`worker ${name}: messages`)).map(({ found }) => found)
}

/** Its units go on: submits one after the other until the signal; how many were done. */
async function unitsGoOn(signal: AbortSignal): Promise<number> {
  for (let done = 0; ; done++) {
    if (signal.aborted && done > 0) return done
    const { jobId } = await cluster.json<{ jobId: string }>('/api/tasks/wait-none', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ input: { ms: 1 } })
    })
    await until('the unit is done', 20_000, async () => {
      const { status } = await cluster.json<{ status: string }>(`/api/jobs/${jobId}`)
      return status === 'COMPLETED'
    })
  }
}

describe.each(ATTACKS)('somebody with the login of a worker who $name', attack => {
  let theft: Theft
  beforeAll(async () => {
    theft = await openThief(cluster, 'worker-1')
  })
  afterAll(() => theft.end())

  test(`is ${attack.outcome}, while the units of another go on; revoking leaves nothing of it`, async () => {
    const { thief, name } = theft
    const over = new AbortController()
    const timer = setTimeout(() => over.abort(), attack.outcome === 'borne' ? 3_000 : 30_000)
    const attacking = attack.run(thief, over.signal)
    const goOn = unitsGoOn(over.signal)
    if (attack.outcome === 'quarantined')
      await until('the login is off', 30_000, async () =>
        (await findings(name)).some(found => /quarantined/.test(found))
      )
    else await attacking
    if (attack.doctor)
      await until('the doctor says so', 20_000, async () =>
        (await findings(name)).some(found => attack.doctor?.test(found))
      )
    over.abort()
    clearTimeout(timer)
    await attacking
    expect(await goOn).toBeGreaterThan(0)
    const keys = () => theft.master.keys(`sc:*:${thief.id}`)
    if (attack.outcome === 'quarantined') {
      await until('its keys are gone', 5_000, async () => (await keys()).length === 0)
      await expect(theft.login()).rejects.toThrow(/WRONGPASS/)
      expect((await cluster.api(`/api/workers/${thief.id}/forgive`, { method: 'POST' })).status).toBe(200)
      await theft.login()
      expect(await findings(name)).toEqual([])
    }
    expect((await cluster.api(`/api/workers/${thief.id}`, { method: 'DELETE' })).status).toBe(200)
    await until('nothing is left', 5_000, async () => (await keys()).length === 0)
    await expect(theft.login()).rejects.toThrow(/WRONGPASS/)
    await until('the other goes on', 20_000, async () => (await unitsGoOn(AbortSignal.abort())) > 0)
    const units = await cluster.json<{ items: Array<{ output?: unknown; status: string }> }>(
      `/api/jobs/${thief.unitId.split('.')[0]}/units`
    )
    expect(units.items.map(({ status }) => status)).toEqual(['DONE'])
    const { output } = await cluster.json<{ output: unknown }>(`/api/jobs/${thief.unitId.split('.')[0]}/result`)
    expect(output).not.toBe('forged')
  })
})

test('who has a join code hinders nobody who joins, whatever it writes', async () => {
  const codeOf = async () => {
    const { command } = await cluster.json<{ command: string }>('/api/cluster/join-codes', { method: 'POST' })
    return command.split(' ').at(-1) as string
  }
  const bad = await codeOf()
  const { username } = new URL(bad)
  const redis = connectRedis(bad, { name: 'test', restricted: true })
  opened.push(redis)
  await waitForRedis(redis)
  const ask = `sc:enrol:ask:${username}`
  for (const text of [
    'x'.repeat(3 * 1024 ** 2),
    'x',
    '{}',
    `${'['.repeat(4_000)}`,
    JSON.stringify({ asker: 'join-other-x' })
  ]) {
    await redis.set(ask, text)
    await until('it is taken away', 10_000, async () => (await redis.get(`sc:enrol:answer:${username}`)) === null)
  }
  await cluster.startWorker('newcomer', ['--broker', await codeOf()], { SC_DATA_DIR: elsewhere })
})
