import { afterEach, expect, test } from 'vitest'
import { createMasterClient } from '../../src/connect/master-client.ts'
import { followJob } from '../../src/follow/follow-job.ts'
import { events, json, KEY, startTinyMaster, type TinyMaster } from '../tiny-master.ts'

let master: TinyMaster | undefined
afterEach(async () => await master?.close())

const view = (status: string) => ({
  jobId: 'j-1',
  status,
  progress: status === 'COMPLETED' ? 1 : 0,
  chunks: { total: 1, done: 0, running: 1, failed: 0 },
  queuePosition: null,
  etaSeconds: null,
  waitingFor: null,
  model: null,
  language: null,
  durationSeconds: null,
  createdAt: '2026-01-01T00:00:00Z',
  startedAt: null,
  finishedAt: null,
  error: null,
  gaps: []
})

test('a stream that falls silent is taken up again after the last event', async () => {
  let streams = 0
  let status = 'RUNNING'
  master = await startTinyMaster({
    'GET /transcribe/j-1': (_request, response) => json(response, 200, view(status)),
    'GET /transcribe/j-1/events': (_request, response) => {
      streams++
      events(response, 'id: 7\nevent: progress\ndata: {"progress":0.5}')
      // The first one says nothing more, and is never closed.
      if (streams === 2) status = 'COMPLETED'
    }
  })
  const client = createMasterClient({ url: master.url, key: KEY })
  const { signal } = new AbortController()
  const seen: string[] = []
  for await (const { status } of followJob(client, 'j-1', { signal, pollEveryMs: 10, silenceMs: 300 }))
    seen.push(status)
  expect(seen.at(-1)).toBe('COMPLETED')
  expect(master.requests).toContain('GET /transcribe/j-1/events after 7')
})
