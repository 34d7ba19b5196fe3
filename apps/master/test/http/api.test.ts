import type { Presence } from '@sc/shared/presence.ts'
import { presenceKey } from '@sc/shared/redis-keys.ts'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Scope } from '../../src/database/schema.ts'
import { shareLooks } from '../../src/http/health-checks.ts'
import { form, tone } from './recordings.ts'
import { PRESENCE } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'
import { insertChunk, insertTranscription } from './transcription-rows.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
})
afterAll(() => one.release())

const get = (url: string, scope: Scope = 'read', headers: Record<string, string> = {}) =>
  one.app.inject({ url, headers: { ...one.bearer(scope), ...headers } })

describe('a query', () => {
  it.each([
    ['/api/jobs?before=yesterday', /^The query of \/api\/jobs has no before: there are .*status/],
    ['/api/stats?nope=1', /^The query of \/api\/stats has no nope: it has none/],
    ['/transcribe/x/result?formt=srt', /no formt: there are format/]
  ])('with a name that its route has not is refused: %s', async (url, detail) => {
    const answer = await get(url)
    expect([answer.statusCode, answer.json().code]).toEqual([400, 'SC_BAD_REQUEST'])
    expect(answer.json().detail).toMatch(detail)
  })

  it('of a page may be anything', async () => {
    expect((await one.app.inject({ url: '/login?utm_source=x' })).statusCode).not.toBe(400)
  })
})

describe('lists of jobs', () => {
  it('come in pages, newest first, whatever the kind', async () => {
    const ids: string[] = []
    for (let at = 0; at < 5; at++) {
      const status = at % 2 === 0 ? ('RUNNING' as const) : ('COMPLETED' as const)
      // Equal times: the id decides.
      const created_at = new Date(at < 3 ? 1_000_000 : 2_000_000)
      ids.push(
        await insertTranscription(one.deps.db, { status, created_at, task: at === 4 ? 'llm.chat' : 'transcribe' })
      )
    }
    const expected = [...ids.slice(3).sort().reverse(), ...ids.slice(0, 3).sort().reverse()]
    const found: string[] = []
    let cursor: string | null = ''
    for (let pages = 0; cursor !== null && pages < 9; pages++) {
      const page: { items: Array<{ jobId: string }>; nextCursor: string | null } = (
        await get(`/api/jobs?limit=2${cursor && `&cursor=${cursor}`}`)
      ).json()
      found.push(...page.items.map(job => job.jobId))
      cursor = page.nextCursor
    }
    expect(found).toEqual(expected)
    const running = (await get('/api/jobs?status=RUNNING')).json().items
    expect(running).toHaveLength(3)
    expect((await get('/api/jobs?task=llm.chat')).json().items.map((job: { jobId: string }) => job.jobId)).toEqual([
      ids[4]
    ])
    expect((await get('/api/jobs?status=COMPLETED&task=llm.chat')).json()).toEqual({ items: [], nextCursor: null })
  })

  it('have rows that say what one job says of itself', async () => {
    const jobId = await insertTranscription(one.deps.db, { status: 'RUNNING', planned: true })
    await insertChunk(one.deps.db, jobId, 0, { status: 'DONE' })
    await insertChunk(one.deps.db, jobId, 1, { status: 'FAILED' })
    const job = (await get(`/api/jobs/${jobId}`)).json()
    expect(job).toEqual({
      jobId,
      task: 'transcribe',
      status: 'RUNNING',
      progress: 0.99,
      queuePosition: null,
      etaSeconds: null,
      waitingFor: 'waits for its results to be put together',
      units: { total: 2, done: 1, running: 0, failed: 1 },
      createdAt: expect.any(String),
      startedAt: null,
      finishedAt: null,
      error: null
    })
    const row = (await get('/api/jobs')).json().items[0]
    expect(row).toEqual(job)
  })

  it('are refused with the name of what is wrong', async () => {
    for (const [query, name] of [
      ['status=DONE', 'status'],
      ['limit=0', 'limit'],
      ['limit=many', 'limit'],
      ['cursor=zzz', 'cursor'],
      ['task=%00', 'A text']
    ]) {
      const answer = await get(`/api/jobs?${query}`)
      expect([answer.statusCode, answer.json().code], query).toEqual([400, 'SC_BAD_REQUEST'])
      expect(answer.json().detail, query).toMatch(new RegExp(`^${name}\\b`))
    }
  })

  it('lose a job that is cancelled from those that run', async () => {
    const jobId = await insertTranscription(one.deps.db, { status: 'RUNNING' })
    const cancel = (id: string) =>
      one.app.inject({ method: 'DELETE', url: `/api/jobs/${id}`, headers: one.bearer('admin') })
    expect((await cancel(jobId)).json()).toEqual({ jobId, status: 'CANCELLED' })
    expect((await cancel('none')).statusCode).toBe(404)
  })
})

const WITH_GPU: Presence = {
  ...PRESENCE,
  id: 'w-1',
  name: 'desk-1',
  gpus: [
    {
      index: 0,
      uuid: 'GPU-1',
      name: 'a card',
      vramTotalGb: 8,
      vramUsedGb: 1.5,
      utilization: null,
      temperatureC: 40,
      powerW: null,
      driver: '550',
      computeCapability: '8.6'
    }
  ],
  libraries: { 'faster-whisper': '1.2.1' },
  queues: ['gpu', 'cpu'],
  slots: [{ id: 'gpu-0', device: 'GPU-1', state: 'idle', unitId: null, reason: null }],
  tasks: ['transcribe.chunk'],
  models: [],
  figures: { unitsDone: 3, unitsFailed: 1, rssBytes: 100, pythonRssBytes: 200 }
}

describe('the cluster', () => {
  it('has no worker at first, and says that this is not healthy', async () => {
    expect((await get('/api/workers')).json()).toEqual({ items: [], nextCursor: null })
    const health = (await get('/api/cluster/health')).json()
    expect(health.status).toBe('degraded')
    expect(health.checks).toMatchObject({
      redis: { status: 'ok', detail: null, latencyMs: expect.any(Number) },
      postgres: { status: 'ok' },
      blobs: { status: 'ok' },
      tailscale: { status: expect.stringMatching(/^(ok|off)$/) },
      workers: { status: 'failing', detail: expect.stringMatching(/no worker is online/) }
    })
  })

  it('shows a worker as it describes itself', async () => {
    await one.deps.db.insertInto('workers').values({ id: 'w-1', name: 'desk-1', hostname: 'desk' }).execute()
    await one.deps.redis.set(presenceKey('w-1'), JSON.stringify(WITH_GPU), 'PX', 600_000)
    await expect.poll(async () => (await get('/api/workers')).json().items).toHaveLength(1)
    const row = (await get('/api/workers/w-1')).json()
    expect(row).toEqual({ ...WITH_GPU, lastSeen: expect.stringMatching(/^\d{4}-.*Z$/) })
    expect((await get('/api/cluster/health')).json().status).toBe('healthy')
    expect((await get('/api/workers/w-2')).statusCode).toBe(404)
  })

  it('has its figures in /metrics', async () => {
    one.deps.metrics.unitFinished('transcribe.chunk', { waited: 10, fetched: 20, ran: 3000, reported: 5 })
    one.deps.metrics.unitFailed('transcribe.chunk', 'SC_CHILD_DIED')
    one.deps.metrics.jobFinished('transcribe', 'PARTIAL')
    const answer = await get('/metrics')
    expect(answer.headers['content-type']).toMatch(/^text\/plain; version=/)
    for (const line of [
      'sc_unit_phase_seconds_sum{task="transcribe.chunk",phase="ran"} 3',
      'sc_units_failed_total{task="transcribe.chunk",code="SC_CHILD_DIED"} 1',
      'sc_jobs_finished_total{task="transcribe",status="PARTIAL"} 1',
      'sc_worker_up{worker="w-1",name="desk-1"} 1',
      'sc_worker_gpu_vram_used_gb{worker="w-1",name="desk-1",gpu="0"} 1.5',
      'sc_postgres_up 1'
    ])
      expect(answer.body.split('\n')).toContain(line)
    expect(answer.body).toMatch(
      /sc_http_request_seconds_count\{method="GET",route="\/api\/workers\/:workerId",status="404"\} 1/
    )
    expect(answer.body).toMatch(/^sc_jobs_open\{status="RUNNING"\} [1-9]/m)
    expect(answer.body).not.toMatch(/sc_worker_gpu_utilization\{/)
  })

  it('says what it is, without secrets', async () => {
    const answer = await get('/api/cluster/info')
    expect(answer.json()).toMatchObject({
      mode: 'local',
      role: 'master',
      masterUrl: 'http://127.0.0.1:5080',
      brokerUrl: expect.stringMatching(/^redis:\/\/127\.0\.0\.1:\d+$/),
      tailscale: { enabled: false, peerCount: 0 },
      local: { hostname: expect.any(String), ip: expect.stringMatching(/^\d+\.\d+\.\d+\.\d+$/) },
      version: '0.0.0-test'
    })
    const secrets = [...Object.values(one.keys), one.servers.redisUrl, one.servers.databaseUrl]
    for (const secret of secrets) expect(answer.body).not.toContain(secret)
  })

  it('is ready, which anybody may ask', async () => {
    expect((await one.app.inject('/healthz')).json()).toEqual({ status: 'ok' })
    expect((await one.app.inject('/readyz')).json()).toEqual({ status: 'ready' })
  })

  it('looks once for all who ask whether it is ready', async () => {
    const check = vi.spyOn(one.deps.blobs, 'check')
    const answers = await Promise.all(Array.from({ length: 50 }, () => one.app.inject('/readyz')))
    expect(answers.map(({ statusCode }) => statusCode)).toEqual(Array(50).fill(200))
    expect(check.mock.calls.length).toBeLessThan(2)
    check.mockRestore()
  })

  it('keeps what it found for a second, and then looks again', async () => {
    let nowMs = 0
    let looks = 0
    const ok = { status: 'ok', detail: null, latencyMs: 1 } as const
    const ask = shareLooks(
      async () => {
        looks++
        return { redis: ok, postgres: ok, blobs: ok }
      },
      () => nowMs
    )
    await Promise.all([ask(), ask()])
    nowMs = 999
    await ask()
    expect(looks).toBe(1)
    nowMs = 1_000
    await ask()
    expect(looks).toBe(2)
  })
})

describe('GET /blobs/{key}', () => {
  const bytes = Buffer.from('0123456789')
  const read = (headers: Record<string, string> = {}, key = 'units/j/chunk.wav') =>
    get(`/blobs/${key}`, 'worker', headers)
  beforeAll(async () => {
    await one.deps.blobs.put('units/j/chunk.wav', bytes)
    await one.deps.blobs.put('files/j/talk.wav', bytes)
  })

  it('gives all bytes, or a range of them', async () => {
    const whole = await read()
    expect([whole.statusCode, whole.body, whole.headers['accept-ranges']]).toEqual([200, '0123456789', 'bytes'])
    for (const [range, body, place] of [
      ['bytes=2-4', '234', 'bytes 2-4/10'],
      ['bytes=7-', '789', 'bytes 7-9/10'],
      ['bytes=-3', '789', 'bytes 7-9/10'],
      ['bytes=-99', '0123456789', 'bytes 0-9/10'],
      ['bytes=8-99', '89', 'bytes 8-9/10']
    ] as const) {
      const part = await read({ range })
      expect([part.statusCode, part.body, part.headers['content-range']], range).toEqual([206, body, place])
      expect(part.headers['content-length'], range).toBe(`${body.length}`)
    }
    for (const range of ['bytes=4-2', 'bytes=0-1,4-5', 'lines=1-2'])
      expect((await read({ range })).statusCode).toBe(200)
    for (const range of ['bytes=10-', 'bytes=-0']) {
      const none = await read({ range })
      expect([none.statusCode, none.headers['content-range']], range).toEqual([416, 'bytes */10'])
    }
    const head = await one.app.inject({
      method: 'HEAD',
      url: '/blobs/units/j/chunk.wav',
      headers: one.bearer('worker')
    })
    expect([head.statusCode, head.body, head.headers['content-length']]).toEqual([200, '', '10'])
  })

  it('gives nothing but inputs of units', async () => {
    for (const key of [
      'files/j/talk.wav',
      'units/../files/j/talk.wav',
      'units/%2e%2e/files/j/talk.wav',
      'units/..%2ffiles/j/talk.wav',
      'units/j',
      'units/',
      'units/j/none.wav'
    ])
      expect((await read({}, key)).statusCode, key).toBe(404)
  })
})

describe('what is not there or not right', () => {
  it('is answered as a problem', async () => {
    const answer = await get('/api/nothing')
    expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/)
    expect(answer.json()).toEqual({
      type: 'about:blank',
      title: 'There is no such thing here',
      status: 404,
      detail: 'There is no GET /api/nothing here.',
      code: 'SC_NOT_FOUND',
      requestId: answer.headers['x-request-id']
    })
  })

  it('is answered with 503 while PostgreSQL is away, and goes on afterwards', async () => {
    await one.door.shut()
    const away = await get('/api/jobs')
    expect([away.statusCode, away.json().code]).toEqual([503, 'SC_UNAVAILABLE'])
    expect(Number(away.headers['retry-after'])).toBeGreaterThan(0)
    expect(away.body).not.toMatch(/ECONN|127\.0\.0\.1/)
    const { body, headers } = form(['file', { fileName: 'a.wav', bytes: tone(1) }])
    const upload = { method: 'POST', url: '/transcribe', payload: body } as const
    expect((await one.app.inject({ ...upload, headers: { ...headers, ...one.bearer('submit') } })).statusCode).toBe(503)
    const readiness = async () => {
      const answer = await one.app.inject('/readyz')
      return [answer.statusCode, answer.json().detail]
    }
    await expect.poll(readiness, { timeout: 5_000 }).toEqual([503, 'Not ready: postgres did not answer.'])
    expect((await one.app.inject('/healthz')).statusCode).toBe(200)
    await one.door.open()
    expect((await get('/api/jobs')).statusCode).toBe(200)
    await expect.poll(readiness, { timeout: 5_000 }).toEqual([200, undefined])
  })

  it('hides the cause of what went wrong inside, and says where it is', async () => {
    const { workers } = one.deps.presence
    one.deps.presence.workers = () => {
      throw new Error('something private')
    }
    const answer = await get('/api/cluster/health').finally(() => {
      one.deps.presence.workers = workers
    })
    expect([answer.statusCode, answer.json().code]).toEqual([500, 'SC_INTERNAL'])
    expect(answer.body).not.toContain('private')
    const { requestId } = answer.json()
    expect(one.lines.find(line => line.includes(requestId))).toContain('something private')
  })

  it('never shows a key in the log', async () => {
    await get('/api/jobs')
    await one.app.inject({ url: `/login?code=${'s3cret'.repeat(5)}` })
    await one.app.inject({ url: '/api/jobs', headers: { authorization: 'Bearer sc_made-up' } })
    const log = one.lines.join('')
    expect(log).toContain('/api/jobs')
    for (const secret of [...Object.values(one.keys), 's3cret', 'made-up']) expect(log).not.toContain(secret)
  })
})

describe('GET /openapi.json', () => {
  it('describes every route, with its errors', async () => {
    const document = (await get('/openapi.json')).json()
    expect(document.openapi).toBe('3.1.0')
    const hidden = ['/', '/docs', '/docs/', '/docs/js/scalar.js', '/swagger']
    for (const { method, url, scope } of one.app.routeTable) {
      if (method === 'HEAD' || hidden.includes(url) || /^\/cluster(\/|$)/.test(url)) continue
      const path = url.replace(/:(\w+)/g, '{$1}').replace('*', '{*}')
      const operation = document.paths[path]?.[method.toLowerCase()]
      expect(operation, `${method} ${path}`).toBeDefined()
      expect(operation.summary, path).toMatch(/\w/)
      if (scope) expect(Object.keys(operation.responses), path).toEqual(expect.arrayContaining(['401', '403', '503']))
      else expect(operation.security, path).toEqual([])
    }
    const form = document.paths['/transcribe'].post.requestBody.content['multipart/form-data'].schema
    expect(Object.keys(form.properties)).toEqual(expect.arrayContaining(['file', 'model', 'language', 'chunk_seconds']))
    expect(form.required).toEqual(['file'])
    expect(document.components.schemas.Problem.properties.code.enum).toContain('SC_NOT_AUDIO')
    const refs = [...JSON.stringify(document).matchAll(/"#\/components\/schemas\/(\w+)"/g)].map(([, name = '']) => name)
    for (const name of refs) expect(document.components.schemas).toHaveProperty(name)
  })
})
