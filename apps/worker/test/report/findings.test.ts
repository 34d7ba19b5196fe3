import { once } from 'node:events'
import { createServer } from 'node:http'
import { freePort } from '@sc/shared/free-port.ts'
import { boundFindings } from '@sc/shared/presence.ts'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { watchFindings } from '../../src/report/findings.ts'
import { type OpenCluster, openCluster } from '../fixtures/open-cluster.ts'

let cluster: OpenCluster
beforeAll(async () => {
  cluster = await openCluster()
})
afterEach(() => cluster.reset())
afterAll(() => cluster.close())

const start = (isOfThisMachine: boolean) =>
  cluster.start({}, { doctor: { dataDir: '/', isOfThisMachine, everyMs: 20 } })

test('a worker says what is wrong on its machine, until it is right', async () => {
  const port = await freePort()
  cluster.master.named.httpUrl = `http://127.0.0.1:${port}`
  await start(true)
  const away = await cluster.seen(({ findings }) => findings?.some(({ check }) => check === 'master: clock'))
  const ofMaster = away.findings.filter(({ check }) => check.startsWith('master: '))
  expect(ofMaster).toEqual([
    {
      check: 'master: round trip',
      status: 'failed',
      found: expect.stringContaining('ECONNREFUSED'),
      next: expect.stringContaining(`Nothing answers at 127.0.0.1:${port}`)
    },
    { check: 'master: clock', status: 'failed', found: 'fetch failed', next: expect.stringContaining('Look whether') }
  ])
  expect(away.findings.every(({ status }) => status !== 'ok')).toBe(true)

  const http = createServer((_, response) => void response.end('{}'))
  http.listen(port, '127.0.0.1')
  await once(http, 'listening')
  try {
    await cluster.seen(({ findings }) => !findings.some(({ check }) => check.startsWith('master: ')))
  } finally {
    http.closeAllConnections()
    http.close()
  }
})

test('a login that may do too much is told, unless the broker is of the same machine', async () => {
  await start(false)
  const { findings } = await cluster.seen(({ findings }) => findings?.some(({ check }) => check === 'broker: rights'))
  expect(findings.find(({ check }) => check === 'broker: rights')).toMatchObject({
    status: 'warning',
    found: expect.stringContaining('read the outbox of another')
  })
})

test('a stop waits for no answer of Redis', async () => {
  let asked = 0
  const findings = watchFindings({
    redis: cluster.redis,
    workerId: 'w-1',
    brokerUrl: 'redis://127.0.0.1:1',
    isOfThisMachine: true,
    dataDir: '/',
    modelsDir: '/',
    httpUrl: () => {
      asked++
      return new Promise(() => {})
    },
    onChange: () => {},
    everyMs: 20
  })
  await expect.poll(() => asked).toBe(1)
  await findings.stop()
})

test('many and long findings are cut to what presence may have', () => {
  const one = { check: 'c', status: 'warning' as const, found: 'x'.repeat(600), next: null }
  const bounded = boundFindings(Array.from({ length: 30 }, () => one))
  expect(bounded).toHaveLength(20)
  expect(bounded[0]?.found).toMatch(/^x{499}…$/)
})
