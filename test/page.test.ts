import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { childEnv, REPO_DIR } from '@sc/shared/config.ts'
import { dataDir, readMasterFile } from '@sc/shared/data-dir.ts'
import { freePort } from '@sc/shared/free-port.ts'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Cluster, startCluster, until } from './cluster.ts'
import { findChromium, openBrowser } from './page/browser.ts'

const chromium = findChromium()
if (!chromium)
  console.log('the tests of the cluster page were skipped: there is no Chromium (apt-get install chromium)')

/** The cluster page in a real browser, before a real master and worker. */
describe.skipIf(!chromium)('the cluster page', () => {
  let cluster: Cluster
  let browser: Browser
  let page: Page
  const elsewhere = mkdtempSync(join(tmpdir(), 'sc-elsewhere-'))
  /** What the browser complained of, and where it sent requests. */
  const complaints: string[] = []
  const origins = new Set<string>()

  beforeAll(async () => {
    cluster = await startCluster({ port: await freePort() })
    browser = await openBrowser(chromium as string)
    page = await (await browser.newContext()).newPage()
    page.setDefaultTimeout(30_000)
    page.on('console', message => message.type() === 'error' && complaints.push(message.text()))
    page.on('pageerror', error => complaints.push(String(error)))
    page.on('request', request => origins.add(new URL(request.url()).origin))
  })
  afterAll(async () => {
    await browser?.close()
    await cluster?.stop()
    rmSync(elsewhere, { recursive: true, force: true })
  })

  const card = (name: string) =>
    page.getByRole('listitem').filter({ has: page.getByRole('heading', { name, level: 3 }) })
  const badge = (name: string) => card(name).locator('.badge')

  test('says how to log in to who is not', async () => {
    await page.goto(cluster.url)
    expect(page.url()).toBe(`${cluster.url}/cluster`)
    await page.getByRole('heading', { name: 'Log in' }).waitFor()
    const { detail } = (await (await fetch(`${cluster.url}/login`)).json()) as { detail: string }
    await expect.poll(() => page.locator('#login-problem').textContent()).toBe(detail)
    expect(await page.getByRole('button', { name: 'Add a machine' }).isVisible()).toBe(false)
    // The refusals that it was about.
    expect(complaints.splice(0).every(text => /status of 40[013]/.test(text))).toBe(true)
  })

  test('shows the machines once the login link was opened', async () => {
    await page.goto(readMasterFile(dataDir(join(cluster.folder, 'data')))?.loginUrl ?? '')
    expect(page.url()).toBe(`${cluster.url}/cluster`)
    await badge('worker-1').filter({ hasText: 'online' }).waitFor()
    await card('worker-1').getByText('cpu0').waitFor()
    const picture = page.getByRole('img', { name: 'The master, 1 worker and 0 other machines' })
    await picture.waitFor()
    expect(await picture.locator('text').allTextContents()).toEqual(expect.arrayContaining(['master', 'worker-1']))
    expect(await picture.locator('.edge.direct').count()).toBe(1)
    await page.locator('#figures').getByText('Slots busy').waitFor()
    await page.getByText(/^\d+ checks are well$/).waitFor()
  })

  test('another port of the host gets the cookie of the browser, and nothing by it', async () => {
    const caught = Promise.withResolvers<string>()
    const thief = createServer((request, response) => {
      if (request.headers.cookie) caught.resolve(request.headers.cookie)
      response.setHeader('content-type', 'text/html').end('<title>thief</title>')
    }).listen(0, '127.0.0.1')
    await once(thief, 'listening')
    const visit = await page.context().newPage()
    try {
      const elsewhereUrl = `http://127.0.0.1:${(thief.address() as AddressInfo).port}`
      await visit.goto(elsewhereUrl)
      const cookie = await caught.promise
      expect(cookie).toMatch(/^sc_session_/)
      // The storage of the page is not its own.
      expect(await visit.evaluate('localStorage.length')).toBe(0)
      for (const more of [{}, { 'x-sc-page': 'guess' }] as Record<string, string>[])
        for (const path of ['/api/workers', '/api/cluster/join', '/api/sessions']) {
          const headers = { cookie, 'sec-fetch-site': 'same-origin', origin: cluster.url, ...more }
          expect((await fetch(`${cluster.url}${path}`, { headers })).status, path).toBe(401)
        }
      // Nor by the hands of its visitor, whose browser sends the cookie along.
      const image = `new Promise(resolve => {
        const image = new Image()
        image.onerror = () => resolve('refused')
        image.onload = () => resolve('shown')
        image.src = '${cluster.url}/api/cluster/join'
      })`
      expect(await visit.evaluate(image)).toBe('refused')
      const asked = `fetch('${cluster.url}/api/workers', { credentials: 'include', mode: 'no-cors' }).then(() => 'answered', () => 'refused')`
      expect(await visit.evaluate(asked)).toBe('refused')
    } finally {
      await visit.close()
      thief.close()
    }
    await page.reload()
    await badge('worker-1').filter({ hasText: 'online' }).waitFor()
  })

  test('drains and resumes a machine', async () => {
    await card('worker-1').getByRole('button', { name: 'Drain' }).click()
    await badge('worker-1').filter({ hasText: 'draining' }).waitFor()
    await expect.poll(() => page.locator('#news').textContent()).toBe('worker-1 is draining.')
    await card('worker-1').getByRole('button', { name: 'Resume' }).click()
    await badge('worker-1').filter({ hasText: 'online' }).waitFor()
  })

  test('lets a machine in by a code, and throws it out', async () => {
    await page.getByRole('button', { name: 'Add a machine' }).click()
    const command = (await page.locator('#joining .command code').first().textContent()) ?? ''
    expect(command).toMatch(/^npm run start:worker -- --broker redis:\/\/join-/)
    await page.getByText(/^Good for one machine, for 1[45]:\d\d more\.$/).waitFor()
    expect(await page.locator('#joining details').count()).toBeGreaterThan(0)

    const broker = command.split(' ').at(-1) as string
    const args = ['apps/worker/src/main.js', 'run', '--name', 'newcomer', '--broker', broker]
    const worker = spawn(process.execPath, args, {
      cwd: REPO_DIR,
      env: childEnv({ SC_DATA_DIR: elsewhere, LOG_LEVEL: 'silent' }),
      stdio: 'ignore'
    })
    const ended = once(worker, 'exit')
    try {
      await page.getByRole('heading', { name: 'newcomer has joined' }).waitFor()
      await badge('newcomer').filter({ hasText: 'online' }).waitFor()

      const remove = card('newcomer').getByRole('button', { name: 'Remove' })
      await remove.click()
      const dialog = page.getByRole('dialog', { name: 'Remove newcomer from the cluster?' })
      await page.keyboard.press('Escape')
      await dialog.waitFor({ state: 'hidden' })
      await remove.click()
      await dialog.getByRole('button', { name: 'Remove it' }).click()
      await dialog.waitFor({ state: 'hidden' })
      await card('newcomer').waitFor({ state: 'detached' })
      expect(await page.evaluate('document.activeElement.id')).toBe('machines-title')
      expect((await ended)[0]).toBe(1)
      expect(await badge('worker-1').textContent()).toBe('online')
    } finally {
      worker.kill('SIGKILL')
      await ended
    }
  })

  test('shows what a machine finds on itself, on its card and with the doctor', async () => {
    await cluster.startWorker('z-lost', [], { SC_MASTER_URL: 'http://127.0.0.1:1' })
    const mark = card('z-lost').locator('.findings .failed').filter({ hasText: 'master: round trip' })
    await mark.getByText('Nothing answers at 127.0.0.1:1.').waitFor()
    await page.locator('#doctor .failed').filter({ hasText: 'z-lost reports: master: round trip' }).first().waitFor()
    expect(await card('worker-1').locator('.findings li').count()).toBe(0)
    await cluster.stopWorker('z-lost')
    await badge('z-lost').filter({ hasText: 'offline' }).waitFor()
    await mark.waitFor({ state: 'detached' })
  })

  test('asks nothing while nobody looks', async () => {
    const pretend = (hidden: boolean) =>
      page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true })
        document.dispatchEvent(new Event('visibilitychange'))`)
    const { items } = await cluster.json<{ items: Array<{ id: string }> }>('/api/workers')
    const lastSeen = async () =>
      Date.parse((await cluster.json<{ lastSeen: string }>(`/api/workers/${items[0]?.id}`)).lastSeen)
    const order = (what: string) => cluster.api(`/api/workers/${items[0]?.id}/${what}`, { method: 'POST' })
    await pretend(true)
    await order('drain')
    const asked: string[] = []
    page.on('request', request => asked.push(request.url()))
    const before = await lastSeen()
    await until('the worker was seen for 5 s more', 30_000, async () => (await lastSeen()) >= before + 5_000)
    expect(asked).toEqual([])
    expect(await badge('worker-1').textContent()).toBe('online')
    await pretend(false)
    await badge('worker-1').filter({ hasText: 'draining' }).waitFor()
    await order('resume')
    await badge('worker-1').filter({ hasText: 'online' }).waitFor()
  })

  test('shows as text what machines say of themselves', async () => {
    const markup = '<img src="/x" onerror="document.title = 1"><script>document.title = 2</script>'
    const finding = { check: markup, status: 'failed', found: markup, next: `\`${markup}\`` }
    await page.route('**/api/workers', async route => {
      const answer = await route.fetch()
      const { items, nextCursor } = await answer.json()
      const [row] = items
      const hostile = { name: markup, hostname: markup, os: markup, version: markup, reason: markup }
      const models = [{ name: markup, sizeBytes: 1 }]
      const slots = row.slots.map((slot: object) => ({ ...slot, reason: `slot ${markup}` }))
      await route.fulfill({
        json: { items: [{ ...row, ...hostile, models, slots, findings: [finding] }], nextCursor }
      })
    })
    await page.getByRole('heading', { name: markup, exact: true }).waitFor()
    expect(await page.locator('main img, main script, main [onerror]').count()).toBe(0)
    expect(await page.title()).toBe('Semantics Cluster')
    await page.unroute('**/api/workers')
    await card('worker-1').waitFor()
  })

  test('what a machine says of itself turns the direction of nothing else', async () => {
    // Right-to-left override, without its end, and letters that run from right to left.
    const turned = '\u202eשלום'
    await page.route('**/api/workers', async route => {
      const answer = await route.fetch()
      const { items, nextCursor } = await answer.json()
      const [row] = items
      const hostile = { name: turned, hostname: turned, os: turned, reason: turned }
      const finding = { check: turned, status: 'failed', found: turned, next: turned }
      const slots = row.slots.map((slot: object) => ({ ...slot, reason: `${turned}.` }))
      const cpu = { ...row.cpu, model: turned }
      const models = [
        { name: turned, sizeBytes: 1 },
        { name: 'base', sizeBytes: 1 }
      ]
      await route.fulfill({
        json: { items: [{ ...row, ...hostile, cpu, models, slots, findings: [finding] }], nextCursor }
      })
    })
    await page.getByRole('heading', { name: turned, exact: true }).waitFor()
    await card(turned).getByRole('button', { name: 'Remove' }).click()
    const shown = (await page.evaluate(`(() => {
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
      const all = []
      while (walker.nextNode()) {
        const { data, parentElement } = walker.currentNode
        if (data.includes('\u202e') && parentElement.id !== 'news')
          all.push({ data, alone: parentElement.textContent === data, bidi: getComputedStyle(parentElement).unicodeBidi })
      }
      return all
    })()`)) as Array<{ data: string; alone: boolean; bidi: string }>
    // Heading, line below, reason, finding, slot, processor, models, and the question whether to remove it.
    expect(shown.length).toBeGreaterThanOrEqual(10)
    for (const { data, alone, bidi } of shown) {
      expect([turned, `${turned}.`]).toContain(data)
      expect([alone, bidi], data).toEqual([true, 'isolate'])
    }
    await page.keyboard.press('Escape')
    await page.unroute('**/api/workers')
    await card('worker-1').waitFor()
  })

  test('says that the master is away, and goes on when it is back', async () => {
    expect(complaints.splice(0)).toEqual([])
    const ends = once(cluster.master, 'exit')
    cluster.master.kill('SIGTERM')
    await ends
    await page.getByRole('alert').filter({ hasText: 'The master has not answered since' }).waitFor()
    expect(await card('worker-1').isVisible()).toBe(true)
    await cluster.startMaster()
    await page.locator('#trouble').waitFor({ state: 'hidden' })
    await badge('worker-1').filter({ hasText: 'online' }).waitFor()
    expect(complaints.splice(0).filter(text => !/ERR_|status of 503/.test(text))).toEqual([])
    expect([...origins]).toEqual([cluster.url])
  })

  test('stays logged in while the master starts anew, and names the browsers that are', async () => {
    await page.getByText('Browsers that are logged in').click()
    await page.locator('#sessions').getByText('by the login link, this browser').waitFor()
  })

  test('fits a phone', async () => {
    await page.setViewportSize({ width: 360, height: 740 })
    const widest = () => page.evaluate('document.documentElement.scrollWidth')
    await expect.poll(widest).toBeLessThanOrEqual(360)
    await expect.poll(() => page.locator('.picture').getAttribute('width').then(Number)).toBeLessThan(360)
  })

  test('tries once whether the master lets its tailnet in', async () => {
    const link = readMasterFile(dataDir(join(cluster.folder, 'data')))?.loginUrl ?? ''
    const login = (await fetch(link, { redirect: 'manual' })).headers
    const cookie = login.get('set-cookie') ?? ''
    const pageToken = login.get('location')?.split('#page=')[1]
    const visitor = await (await browser.newContext()).newPage()
    let tries = 0
    const answers = [
      { status: 403, json: { detail: 'You are not of the owners of this tailnet.' } },
      { status: 200, headers: { 'set-cookie': cookie }, json: { pageToken } }
    ]
    await visitor.route('**/login', route => route.fulfill(answers[tries++]))
    await visitor.goto(cluster.url)
    await visitor.getByText('You are not of the owners of this tailnet.').waitFor()
    await visitor.waitForResponse('**/api/workers')
    expect(tries).toBe(1)
    await visitor.getByRole('button', { name: 'Try again' }).click()
    await visitor.getByRole('heading', { name: 'worker-1' }).waitFor()
    expect(tries).toBe(2)
  })

  test('logs out', async () => {
    await page.getByRole('button', { name: 'Log out' }).click()
    await page.getByRole('heading', { name: 'Log in', exact: true }).waitFor()
    await page.getByText('You have logged out.').waitFor()
    expect(await page.evaluate('localStorage.length')).toBe(0)
    await page.reload()
    await page.getByRole('heading', { name: 'Log in', exact: true }).waitFor()
    expect(await page.getByRole('button', { name: 'Log out' }).isVisible()).toBe(false)
  })
})
