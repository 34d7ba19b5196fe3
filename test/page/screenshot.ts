import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { REPO_DIR } from '@sc/shared/config.ts'
import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { createFakeSmi, type FakeCard, type FakeSmi } from '../../apps/worker/test/fixtures/fake-smi.ts'
import { RUNNING, startLocalApi } from '../../packages/shared/test/tailscale/local-api-server.ts'
import { startCluster, until } from '../cluster.ts'
import { findChromium, openBrowser } from './browser.ts'

/**
 * Draws `docs/cluster-page.png`: four workers with cards that an nvidia-smi of their own makes up, on a tailnet that is
 * made up too. `--all FOLDER` draws it dark and as on a phone as well, there.
 */
const { values } = parseArgs({ options: { all: { type: 'string' } } })
const WORKERS: Record<string, FakeCard[]> = {
  attic: [{ index: 0, uuid: 'GPU-a', totalGb: 24, usedGb: 19.2, utilization: 97 }],
  desk: [
    { index: 0, uuid: 'GPU-b', totalGb: 12, usedGb: 7.4, utilization: 81 },
    { index: 1, uuid: 'GPU-c', totalGb: 8, usedGb: 0.4, utilization: 0 }
  ],
  kitchen: [],
  laptop: [{ index: 0, uuid: 'GPU-d', totalGb: 6, usedGb: 1.1, utilization: 4 }]
}
const TAILNET = {
  ...RUNNING,
  Peer: {
    'nodekey:1': { ...RUNNING.Peer['nodekey:1'], HostName: 'office', DNSName: 'office.tailnet.example.' },
    'nodekey:2': { ...RUNNING.Peer['nodekey:2'], HostName: 'summer-house', DNSName: 'summer-house.tailnet.example.' },
    'nodekey:3': RUNNING.Peer['nodekey:3']
  }
}
const BUSY_MS = 120_000
const VIEWS = [
  { name: 'light', colorScheme: 'light', width: 1000 },
  { name: 'dark', colorScheme: 'dark', width: 1100 },
  { name: 'phone', colorScheme: 'light', width: 390 }
] as const

const chromium = findChromium()
if (!chromium) throw new Error('there is no Chromium on this machine: apt-get install chromium')
const { FOLDER, cluster, api } = await start()
try {
  const smis = new Map<string, FakeSmi>()
  for (const [name, cards] of Object.entries(WORKERS)) {
    const smi = createFakeSmi()
    smis.set(name, smi)
    smi.setCards(cards.map(({ index, uuid, totalGb }) => ({ index, uuid, totalGb })))
    await cluster.startWorker(name, [], { PATH: smi.path })
  }
  const headers = { 'content-type': 'application/json' }
  const send = (task: string) =>
    cluster.api(`/api/tasks/${task}`, { method: 'POST', headers, body: JSON.stringify({ input: { ms: BUSY_MS } }) })
  for (const task of ['wait-20', 'wait-7', 'wait-7', 'wait-none', 'wait-none', 'wait-20', 'wait-20']) await send(task)
  await until('units run', 60_000, async () => {
    const { units } = await cluster.json<{ units: { RUNNING: number } }>('/api/stats')
    return units.RUNNING >= 5
  })
  // An idle card that is busy all the same would be its owner's.
  for (const [name, cards] of Object.entries(WORKERS)) smis.get(name)?.setCards(cards)
  const { items } = await cluster.json<{ items: Array<{ id: string; name: string }> }>('/api/workers')
  const laptop = items.find(({ name }) => name === 'laptop')
  await cluster.api(`/api/workers/${laptop?.id}/drain`, { method: 'POST' })
  await cluster.stopWorker('kitchen')

  const browser = await openBrowser(chromium)
  const context = await browser.newContext()
  const page = await context.newPage()
  await page.goto(readMasterFile(dataDir(join(FOLDER, 'data')))?.loginUrl ?? '')
  for (const { name, colorScheme, width } of values.all ? VIEWS : VIEWS.slice(0, 1)) {
    await page.emulateMedia({ colorScheme })
    await page.setViewportSize({ width, height: 1270 })
    await page.locator('.badge.offline').waitFor()
    await page.locator('#doctor').getByText('worker kitchen').waitFor()
    await page.locator('#figures').getByText('3of 4').waitFor()
    await page.locator('.picture .box.draining').waitFor()
    await page.getByText('19.2 of 24 GB').waitFor()
    const path = values.all ? join(values.all, `${name}.png`) : join(REPO_DIR, 'docs/cluster-page.png')
    await page.screenshot({ path, fullPage: name === 'phone' })
  }
  if (values.all) {
    await page.getByRole('button', { name: 'Add a machine' }).click()
    await page.locator('.command').first().waitFor()
    await page.screenshot({ path: join(values.all, 'add.png') })
  }
  await browser.close()
} finally {
  await cluster.stop()
  await api.stop()
}

async function start() {
  if (values.all) await mkdir(values.all, { recursive: true })
  const socket = join('/tmp', `sc-tailscaled-${process.pid}.sock`)
  const api = await startLocalApi(socket, TAILNET)
  const cluster = await startCluster({ workers: 0, tasksDir: true, env: { TS_SOCKET: socket, SC_MODE: 'local' } })
  await cp(join(import.meta.dirname, '../fixtures/waits.py'), join(cluster.folder, 'tasks/waits.py'))
  return { FOLDER: cluster.folder, cluster, api }
}
