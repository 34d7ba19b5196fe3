import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { type Check, type Finding, startReport } from '../../src/doctor/finding.ts'
import { checkPath, checkReach, clockOutcome, targetOf } from '../../src/doctor/network.ts'
import { tailnetPath } from '../../src/doctor/tailnet-path.ts'
import { freePort } from '../../src/free-port.ts'
import { isTailnetAddress } from '../../src/tailscale/address.ts'
import { openTailscale } from '../../src/tailscale/ask.ts'
import { isNewer } from '../../src/versions.ts'
import { startLocalApi } from '../tailscale/local-api-server.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1')
  servers.push(server)
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function findings(checks: Check[]): Promise<Finding[]> {
  let text = ''
  const report = startReport({ json: true, write: more => (text += more) })
  await report.run(checks)
  report.end()
  return JSON.parse(text).findings
}

test('the way to a master that answers', async () => {
  const url = await serve((_, response) => response.end('{}'))
  const target = targetOf('master', url)
  const found = await findings([...checkReach(target), ...checkPath(target, url, undefined)])
  expect(found.map(({ check, status }) => [check, status])).toEqual([
    ['master: name', 'ok'],
    ['master: round trip', 'ok'],
    ['master: path', 'ok'],
    ['master: packet size', 'ok'],
    ['master: clock', 'ok']
  ])
  expect(found[2]?.found).toBe('127.0.0.1 is this machine')
  expect(found[3]?.found).toMatch(/^lo\w* (has MTU|: its MTU)/)
})

test('nobody there, and a name that means nothing, are failures with a next step', async () => {
  const port = await freePort()
  const away = { what: 'broker', host: '127.0.0.1', port }
  const [name, trip] = await findings(checkReach(away))
  expect(name?.status).toBe('ok')
  expect(trip).toMatchObject({ status: 'failed', found: expect.stringContaining('ECONNREFUSED') })
  expect(trip?.next).toContain(`Nothing answers at 127.0.0.1:${port}`)
  const [unknown] = await findings(checkReach({ what: 'master', host: 'nobody.invalid', port: 1 }))
  expect(unknown).toMatchObject({ status: 'failed', next: expect.stringContaining('spelled right') })
  const [tailnet] = await findings(checkReach({ what: 'master', host: 'nobody.invalid.ts.net', port: 1 }))
  if (tailnet?.status === 'failed') expect(tailnet.next).toContain('tailscale status')
})

test('large packets that get lost, and a wrong clock', async () => {
  const url = await serve((request, response) => {
    if (request.headers['x-padding']) return void request.socket.destroy()
    response.setHeader('date', new Date(Date.now() - 600_000).toUTCString()).end('{}')
  })
  const [, size, clock] = await findings(checkPath(targetOf('master', url), url, undefined))
  expect(size).toMatchObject({ status: 'failed', next: expect.stringContaining('lower the MTU') })
  expect(clock).toMatchObject({ status: 'warning', found: expect.stringMatching(/(599|600) s ahead of the master/) })
  expect(clockOutcome(new Date(60_000).toUTCString(), 0).found).toMatch(/60 s behind the master|61 s behind/)
  expect(clockOutcome(null, 0).status).toBe('ok')
})

test('ports of addresses without one', () => {
  expect(targetOf('broker', 'redis://u:p@[fd7a:115c:a1e0::1]')).toEqual({
    what: 'broker',
    host: 'fd7a:115c:a1e0::1',
    port: 6379
  })
  expect(targetOf('master', 'https://desk.lan/').port).toBe(443)
})

test('how a machine of the tailnet is reached, by the socket of tailscaled, else by its command', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'sc-doctor-'))
  const socket = join(folder, 'tailscaled.sock')
  const api = await startLocalApi(socket)
  onTestFinished(async () => {
    await api.stop()
    vi.unstubAllEnvs()
    rmSync(folder, { recursive: true, force: true })
  })
  const ask = openTailscale({ socket })
  expect(await tailnetPath('100.64.0.2', ask, 1)).toEqual({
    status: 'ok',
    found: 'direct over the tailnet, by 192.0.2.7:41641 in 1.23 ms',
    next: null
  })
  expect(api.asked).toEqual(['POST /localapi/v0/ping?ip=100.64.0.2&type=disco'])
  const relayed = { status: 'warning', found: 'relayed by fra, 30.1 ms', next: expect.stringContaining('UDP') }
  expect(await tailnetPath('100.64.0.3', ask, 1)).toMatchObject(relayed)
  expect(api.asked).toHaveLength(4)
  expect(await tailnetPath('100.64.0.4', ask, 1)).toMatchObject({
    found: expect.stringMatching(/not known: no reply$/)
  })

  const command = `#!/bin/sh\necho "pong from desk ($4) via 192.0.2.7:41641 in 5ms"\n`
  writeFileSync(join(folder, 'tailscale'), command, { mode: 0o755 })
  vi.stubEnv('PATH', `${folder}:${process.env.PATH}`)
  const without = openTailscale({ sockets: [join(folder, 'none')] })
  expect((await tailnetPath('100.64.0.2', without)).found).toBe('direct over the tailnet, by 192.0.2.7:41641 in 5 ms')

  const none = await tailnetPath('100.64.0.2', openTailscale({ socket: join(folder, 'none') }), 1)
  expect(none).toMatchObject({
    status: 'warning',
    found: '100.64.0.2 is of a tailnet, and how it is reached is not known: there is no Tailscale here',
    next: expect.stringContaining('TS_SOCKET')
  })
})

test('what is an address of a tailnet', () => {
  const all = ['100.64.0.1', '100.127.255.1', 'fd7a:115c:a1e0::1', '100.63.0.1', '100.128.0.1', '10.0.0.1', 'fd00::1']
  expect(all.map(isTailnetAddress)).toEqual([true, true, true, false, false, false, false])
})

test('the report: lines with the next step, no secrets, exit code', async () => {
  let text = ''
  const report = startReport({ json: false, write: more => (text += more) })
  const fine: Check = { name: 'a', look: async () => ({ status: 'ok', found: 'good', next: null }), next: '' }
  const broken: Check = {
    name: 'b',
    look: () => Promise.reject(new Error('redis://u:secret@h is away')),
    next: 'Do this.'
  }
  await report.run([fine, broken])
  expect(report.end()).toBe(1)
  expect(text).toBe(
    'ok       a: good\nfailed   b: redis://u:***@h is away\n         -> Do this.\n\n1 ok, 0 to look at, 1 failed\n'
  )
})

test('what another machine found is shown, and commands nothing', () => {
  let text = ''
  const report = startReport({ json: false, write: more => (text += more) })
  const forged = {
    check: 'desk\r',
    status: 'failed' as const,
    found: '\u001b[2Ja\nok       b: \u202egood',
    next: '\u009bx'
  }
  report.add([forged])
  expect(text).toBe('failed   desk :  [2Ja ok       b:  good\n         ->  x\n')
})

test('which version is newer', () => {
  expect(isNewer('0.2.0', '0.1.9')).toBe(true)
  expect(isNewer('0.10.0', '0.9.0')).toBe(true)
  expect(isNewer('1.0.0', '1.0.0')).toBe(false)
  expect(isNewer('0.9.9', '1.0.0')).toBe(false)
  expect(isNewer('unknown', '0.1.0')).toBe(false)
})
