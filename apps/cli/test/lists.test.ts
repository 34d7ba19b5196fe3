import { afterEach, expect, test } from 'vitest'
import { runSc } from './run-sc.ts'
import { json, startTinyMaster, type TinyMaster } from './tiny-master.ts'

let master: TinyMaster | undefined
afterEach(async () => {
  await master?.close()
  master = undefined
})

const job = (jobId: string) => ({
  jobId,
  task: 'transcribe',
  status: 'RUNNING',
  progress: 0.42,
  units: { total: 12, done: 5, running: 1, failed: 0 },
  createdAt: '2026-01-02T03:04:05.678Z',
  waitingFor: null,
  error: null
})

test('jobs come page by page until there are enough', async () => {
  master = await startTinyMaster({
    'GET /api/jobs': (request, response) =>
      request.url?.includes('cursor=c2')
        ? json(response, 200, { items: [job('three'), job('four')], nextCursor: 'c3' })
        : json(response, 200, { items: [job('one'), job('two')], nextCursor: 'c2' })
  })
  const { code, stdout } = await runSc(['jobs', '--limit', '3', '--status', 'RUNNING', '--master', master.url])
  expect(stdout.split('\n').map(line => line.split(/ {2,}/)[0])).toEqual(['JOB', 'one', 'two', 'three', ''])
  expect(stdout).toMatch(/one +transcribe +RUNNING +42 % +5\/12 +2026-01-02 03:04:05/)
  expect(master.requests).toEqual(['GET /api/jobs?status=RUNNING', 'GET /api/jobs?status=RUNNING&cursor=c2'])
  expect(code).toBe(0)
})

test('jobs as JSON keep what the master says', async () => {
  master = await startTinyMaster({
    'GET /api/jobs': (_, response) => json(response, 200, { items: [{ ...job('one'), more: 1 }], nextCursor: null })
  })
  const { stdout } = await runSc(['--json', 'jobs', '--master', master.url])
  expect(JSON.parse(stdout)).toEqual([{ ...job('one'), more: 1 }])
})

test('workers with their slots and GPUs', async () => {
  const worker = {
    id: 'w1',
    name: 'desk',
    hostname: 'desk.lan',
    status: 'online',
    cpu: { threads: 8, load: 0.2 },
    gpus: [{ name: 'RTX 3060', vramTotalGb: 12 }],
    queues: ['gpu', 'cpu'],
    slots: [
      { id: 'gpu0', state: 'running', reason: null },
      { id: 'cpu0', state: 'idle', reason: null }
    ]
  }
  master = await startTinyMaster({
    'GET /api/workers': (_, response) => json(response, 200, { items: [worker], nextCursor: null })
  })
  const { code, stdout } = await runSc(['workers', '--master', master.url])
  expect(stdout).toMatch(/desk +desk\.lan +online +1 running, 1 idle +8 threads +RTX 3060 12 GB +gpu cpu/)
  expect(code).toBe(0)
})

test('an answer of another version is an error, not a table of undefined', async () => {
  master = await startTinyMaster({ 'GET /api/workers': (_, response) => json(response, 200, { rows: [] }) })
  const { code, stderr, stdout } = await runSc(['workers', '--master', master.url])
  expect(stderr).toContain('SC_PROTOCOL_VERSION')
  expect([code, stdout]).toEqual([1, ''])
})
