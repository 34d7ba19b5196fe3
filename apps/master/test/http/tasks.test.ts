import { sql } from 'kysely'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { registerTasks, WORD_COUNT } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
  const huge = { ...WORD_COUNT, name: 'huge', gpu: true, vramGb: 80 }
  const odd = { ...WORD_COUNT, name: 'odd', inputSchema: { $ref: 'https://example.org/elsewhere' } }
  const chunk = { ...WORD_COUNT, name: 'transcribe.chunk', builtIn: true }
  const queues = ['cpu+word-count', 'cpu']
  await registerTasks(one, 'desk-1', [WORD_COUNT, huge, odd, chunk], { at: new Date(1000), queues })
  const off = { at: new Date(9000), offline: true }
  await registerTasks(
    one,
    'desk-2',
    [
      { ...WORD_COUNT, description: 'Of old' },
      DIARIZE,
      { ...WORD_COUNT, name: 'a:b' },
      { ...WORD_COUNT, name: 'Upper_Case' }
    ],
    off
  )
  await vi.waitFor(async () => expect((await get('/api/workers/desk-1')).statusCode).toBe(200), { timeout: 8_000 })
})
afterAll(() => one.release())

const DIARIZE = { ...WORD_COUNT, name: 'diarize', gpu: true, vramGb: 6, features: ['pyannote'], inputSchema: {} }

const get = async (url: string) => await one.app.inject({ url, headers: one.bearer('read') })
const post = async (name: string, payload: object, headers: Record<string, string> = {}) =>
  await one.app.inject({
    method: 'POST',
    url: `/api/tasks/${name}`,
    headers: { ...one.bearer('submit'), ...headers },
    payload
  })
const rowsOf = async (jobId: string) => ({
  job: await one.deps.db.selectFrom('jobs').selectAll().where('id', '=', jobId).executeTakeFirstOrThrow(),
  unit: await one.deps.db.selectFrom('units').selectAll().where('job_id', '=', jobId).executeTakeFirstOrThrow()
})

describe('GET /api/tasks', () => {
  it('has what can be posted, with schemas, queues and workers', async () => {
    const { items, nextCursor } = (await get('/api/tasks')).json()
    expect(nextCursor).toBeNull()
    expect(items.map(({ name, queue }: { name: string; queue: string }) => [name, queue])).toEqual([
      ['diarize', 'gpu.vram6+diarize'],
      ['huge', null],
      ['odd', 'cpu+odd'],
      ['word-count', 'cpu+word-count']
    ])
    expect(items[0]).toEqual({
      name: 'diarize',
      description: 'Counts words',
      requires: { gpu: true, vramGb: 6, features: ['pyannote'] },
      retryCrashes: true,
      inputSchema: {},
      outputSchema: WORD_COUNT.outputSchema,
      workers: [{ id: 'desk-2', name: 'desk-2', status: 'offline' }],
      lacking: [],
      queue: 'gpu.vram6+diarize',
      versions: 1,
      isJob: false
    })
  })

  it('shows the workers that have it, whatever they say of it', async () => {
    const task = (await get('/api/tasks/word-count')).json()
    expect(task).toMatchObject({ description: 'Counts words', versions: 1, inputSchema: WORD_COUNT.inputSchema })
    expect(task.workers).toEqual([
      { id: 'desk-1', name: 'desk-1', status: 'online' },
      { id: 'desk-2', name: 'desk-2', status: 'offline' }
    ])
  })

  it('names what is near a name that is not known', async () => {
    for (const [name, detail] of [
      ['wordcount', /Did you mean word-count\?$/],
      ['something-else', /There are: diarize, huge, odd, word-count\. The log of a worker /],
      ['transcribe', /POST \/transcribe/],
      ['transcribe.chunk', /POST \/transcribe/]
    ] as const) {
      for (const answer of [await get(`/api/tasks/${name}`), await post(name, { input: {} })]) {
        expect([answer.statusCode, answer.json().code], name).toEqual([404, 'SC_TASK_UNKNOWN'])
        expect(answer.json().detail).toMatch(detail)
      }
    }
  })
})

describe('POST /api/tasks/{name}', () => {
  it('makes a job with its one unit, which is in its queue', async () => {
    const answer = await post('word-count', {
      input: { text: 'one two' },
      priority: 7,
      timeoutSeconds: 2.5,
      waitTimeoutSeconds: 600,
      attempts: 5
    })
    expect(answer.statusCode).toBe(202)
    const { jobId, ...rest } = answer.json()
    const url = `http://localhost:80/api/jobs/${jobId}`
    expect(rest).toEqual({
      submissionId: jobId,
      status: 'PENDING',
      statusUrl: url,
      resultUrl: `${url}/result`,
      eventsUrl: `${url}/events`,
      logsUrl: `${url}/logs`
    })
    expect(answer.headers.location).toBe(`/api/jobs/${jobId}`)
    const { job, unit } = await rowsOf(jobId)
    expect(job).toMatchObject({
      task: 'word-count',
      single: true,
      planned: true,
      priority: 7,
      max_attempts: 5,
      timeout_ms: 2500,
      wait_timeout_ms: 600_000,
      input: { text: 'one two' }
    })
    expect(unit).toMatchObject({
      task: 'word-count',
      queue: 'cpu+word-count',
      status: 'QUEUED',
      input_ref: null,
      params: { text: 'one two' },
      deadline_ms: 2500,
      max_attempts: 5,
      priority: 7,
      not_before: null,
      cache_key: null
    })
    const shown = (await get(`/api/jobs/${jobId}`)).json()
    expect(shown).toMatchObject({ task: 'word-count', status: 'PENDING', progress: 0, units: { total: 1, done: 0 } })
    expect((await get('/api/jobs?task=word-count')).json().items[0].jobId).toBe(jobId)
  })

  it('refuses an input that the schema does not allow, and names each field', async () => {
    for (const [input, detail] of [
      [{}, /text: is missing/],
      [{ text: '', extra: 1 }, /extra: is not known; text: must NOT have fewer than 1 characters/],
      [{ text: 'a', language: 'fr' }, /language: must be one of de, en/],
      [{ text: 'a', options: { deep: 1.5 } }, /options\.deep: must be integer/],
      [{ text: 'a', options: {} }, /options\.deep: is missing/],
      [{ text: 'half \ud800 a pair' }, /half a surrogate/],
      [{ text: 'a\0b' }, /NUL/],
      ['text', /input: must be an object/],
      [null, /input: must be an object/]
    ] as Array<[unknown, RegExp]>) {
      const answer = await post('word-count', { input })
      expect([answer.statusCode, answer.json().code], String(detail)).toEqual([422, 'SC_TASK_INPUT'])
      expect(answer.json().detail).toMatch(detail)
    }
    // Also where the schema allows any field.
    const local = await post('diarize', { input: { files: { input: '/etc/passwd' } } })
    expect([local.statusCode, local.json().code]).toEqual([422, 'SC_TASK_INPUT'])
    expect(local.json().detail).toMatch(/ files: is not known$/)
    const many = { text: 'a', ...Object.fromEntries(Array.from({ length: 10_000 }, (_, at) => [`field-${at}`, at])) }
    expect((await post('word-count', { input: many })).json().detail).toMatch(/ valid\. field-0: is not known$/)
    expect((await post('word-count', {})).json().detail).toBe('The input of word-count is not valid. text: is missing')
  })

  it('leaves patterns to the worker: one could hold up the master for ever', async () => {
    const patterned = (name: string, closed: object) => ({
      ...WORD_COUNT,
      name,
      inputSchema: {
        type: 'object',
        properties: { text: { type: 'string', maxLength: 100, pattern: '^(a+)+$' } },
        patternProperties: { '^(x+)+$': { type: 'integer' } },
        required: ['text'],
        ...closed
      }
    })
    const tasks = [
      patterned('closed', { additionalProperties: false }),
      patterned('checked', { unevaluatedProperties: false })
    ]
    await registerTasks(one, 'desk-4', tasks)
    // Each letter more takes such an expression twice as long.
    const long = (letter: string) => `${letter.repeat(20)}!`
    for (const { name } of tasks) {
      const answer = await post(name, { input: { text: long('a'), xx: 'no integer', [long('x')]: 1 } })
      expect(answer.statusCode, name).toBe(202)
      expect((await post(name, { input: { text: 'a'.repeat(101) } })).json().code).toBe('SC_TASK_INPUT')
    }
  })

  it('refuses a request that is none', async () => {
    const input = { text: 'a' }
    for (const [body, detail] of [
      [{ input, prioritty: 1 }, /prioritty/],
      [{ text: 'a' }, /^body: there is no field text; .* `input`$/],
      [{ input, priority: 101 }, /^priority: /],
      [{ input, attempts: 0 }, /^attempts: /],
      [{ input, timeoutSeconds: 0 }, /^timeoutSeconds: /],
      [{ input, waitTimeoutSeconds: 'long' }, /^waitTimeoutSeconds: /],
      [{ input, runAt: 'tomorrow' }, /^runAt: /],
      [{ input, runAt: '2099-01-01T00:00:00Z', delaySeconds: 1 }, /^runAt: .*not both/]
    ] as Array<[object, RegExp]>) {
      const answer = await post('word-count', body)
      expect([answer.statusCode, answer.json().code], String(detail)).toEqual([400, 'SC_BAD_REQUEST'])
      expect(answer.json().detail).toMatch(detail)
    }
    const form = await post('word-count', { input }, { 'content-type': 'application/x-www-form-urlencoded' })
    expect(form.json()).toMatchObject({ code: 'SC_BAD_REQUEST', detail: /urlencoded; send application\/json/ })
  })

  it('refuses a body that is nested too deeply, wherever in it', async () => {
    const deep = `${'['.repeat(150_000)}${']'.repeat(150_000)}`
    const headers = { ...one.bearer('submit'), 'content-type': 'application/json' }
    const [INPUT, BODY] = [
      [422, 'SC_TASK_INPUT'],
      [400, 'SC_BAD_REQUEST']
    ]
    for (const [url, payload, refused] of [
      ['/api/tasks/diarize', `{"input":{"a":${deep}}}`, INPUT],
      ['/api/tasks/diarize', deep, BODY],
      ['/api/tasks/diarize', '['.repeat(150_000), BODY],
      ['/api/tasks/diarize', '{"a":'.repeat(150_000), BODY],
      ['/api/schedules', `{"task":"diarize","input":${deep}}`, INPUT]
    ] as const) {
      const answer = await one.app.inject({ method: 'POST', url, headers, payload })
      expect([answer.statusCode, answer.json().code]).toEqual(refused)
      expect(answer.json().detail).toMatch(/more than 100 levels/)
    }
    const nested = `${'{"a":'.repeat(97)}{}${'}'.repeat(97)}`
    const payload = `{"input":${nested}}`
    expect(await one.app.inject({ method: 'POST', url: '/api/tasks/diarize', headers, payload })).toMatchObject({
      statusCode: 202
    })
    const poisoned = '{"input":{"__proto__":{"a":1}}}'
    const refused = await one.app.inject({ method: 'POST', url: '/api/tasks/diarize', headers, payload: poisoned })
    expect([refused.statusCode, refused.json().code]).toEqual([400, 'SC_BAD_REQUEST'])
  })

  it('refuses a task that nobody can ever run, or whose schema is none', async () => {
    const huge = await post('huge', { input: { text: 'a' } })
    expect([huge.statusCode, huge.json().code]).toEqual([422, 'SC_TASK_UNFIT'])
    expect(huge.json().detail).toMatch(/80 GB of GPU memory; the largest class of workers has 24 GB/)
    const odd = await post('odd', { input: { text: 'a' } })
    expect([odd.statusCode, odd.json().code]).toEqual([422, 'SC_TASK_UNFIT'])
    expect(odd.json().detail).toMatch(/elsewhere/)
  })

  it('accepts a task whose workers are off, and says what its job waits for', async () => {
    const { jobId } = (await post('diarize', { input: { anything: 1 } })).json()
    expect((await get(`/api/jobs/${jobId}`)).json()).toMatchObject({
      status: 'PENDING',
      etaSeconds: null,
      waitingFor: 'waits for a worker that has the task diarize: none is online (it was last seen on desk-2, 3 h ago)'
    })
  })

  it('keeps a job back until its time', async () => {
    const runAt = '2099-01-02T03:04:05+01:00'
    const { jobId } = (await post('word-count', { input: { text: 'later' }, runAt })).json()
    const { job, unit } = await rowsOf(jobId)
    expect([job.run_at, unit.not_before]).toEqual([new Date(runAt), new Date(runAt)])
    expect((await get(`/api/jobs/${jobId}`)).json().waitingFor).toBe('waits until 2099-01-02T02:04:05.000Z')
    const soon = (await post('word-count', { input: { text: 'soon' }, delaySeconds: 60 })).json()
    const waitMs = (await rowsOf(soon.jobId)).unit.not_before?.getTime() ?? 0
    expect(Math.abs(waitMs - Date.now() - 60_000)).toBeLessThan(5_000)
    const past = (await post('word-count', { input: { text: 'past' }, runAt: '2001-01-01T00:00:00Z' })).json()
    expect((await rowsOf(past.jobId)).unit.not_before).toBeNull()
  })

  it('is one job for one idempotency key, in the header or in the body', async () => {
    const body = { input: { text: 'once' }, priority: 3 }
    const first = await post('word-count', body, { 'idempotency-key': 'k-1' })
    const again = await post('word-count', { ...body, idempotencyKey: 'k-1' })
    expect(again.statusCode).toBe(202)
    expect(again.json().jobId).toBe(first.json().jobId)
    const other = await post('word-count', { ...body, priority: 4, idempotencyKey: 'k-1' })
    expect([other.statusCode, other.json().code]).toEqual([409, 'SC_IDEMPOTENCY_CONFLICT'])
    const both = await post('word-count', { ...body, idempotencyKey: 'k-2' }, { 'idempotency-key': 'k-1' })
    expect([both.statusCode, both.json().code]).toEqual([400, 'SC_BAD_REQUEST'])
    const at = await Promise.all(
      Array.from({ length: 8 }, () => post('word-count', { ...body, idempotencyKey: 'k-9' }))
    )
    expect(new Set(at.map(answer => answer.json().jobId)).size).toBe(1)
  })

  it('knows a task as soon as it is registered, and its new schema a moment later', async () => {
    expect((await post('new-task', { input: {} })).statusCode).toBe(404)
    const task = { ...WORD_COUNT, name: 'new-task', inputSchema: {} }
    await registerTasks(one, 'desk-3', [task])
    expect((await post('new-task', { input: { text: 1 } })).statusCode).toBe(202)
    const tasks = JSON.stringify([{ ...task, inputSchema: WORD_COUNT.inputSchema }])
    await one.deps.db.updateTable('workers').set({ tasks, tasks_at: new Date() }).where('id', '=', 'desk-3').execute()
    await expect.poll(async () => (await post('new-task', { input: { text: 1 } })).statusCode).toBe(422)
  })
})

describe('a task that workers define differently', () => {
  const OWN = { ...WORD_COUNT, name: 'nap', inputSchema: {} }
  const foundOf = async (check: string) =>
    (await get('/api/cluster/doctor')).json().items.find((finding: { check: string }) => finding.check === check)
  const change = (id: string, set: { tasks?: string; revoked_at?: Date; tasks_since?: string }) =>
    one.deps.db
      .updateTable('workers')
      .set({ ...set, tasks_at: sql<Date>`tasks_at + interval '1 microsecond'` })
      .where('id', '=', id)
      .execute()

  beforeAll(async () => {
    await registerTasks(one, 'first', [OWN], { at: new Date(1000), offline: true })
    await registerTasks(one, 'newcomer', [OWN], { at: new Date(2000) })
  })

  it.each([
    ['allows no input', { inputSchema: { not: {} } }],
    ['asks for more memory than there is', { vramGb: 1000 }],
    ['asks for a GPU', { gpu: true }],
    ['is said to be built in', { builtIn: true }],
    ['has another result', { outputSchema: {} }]
  ])('is that of the first, also while that is off, when that of a newcomer %s', async (_what, differing) => {
    await change('newcomer', { tasks: JSON.stringify([{ ...OWN, ...differing }]) })
    const found = async () => {
      const { items } = (await get('/api/tasks')).json()
      return items.find(({ name }: { name: string }) => name === 'nap')
    }
    const task = await found()
    expect(task).toMatchObject({ queue: 'cpu+nap', requires: { gpu: false, vramGb: 0 }, inputSchema: {} })
    expect(task.workers.map(({ id }: { id: string }) => id)).toEqual(['first'])
    expect((await post('nap', { input: {} })).statusCode).toBe(202)
  })

  it('is named by the doctor, with what to do', async () => {
    await change('newcomer', { tasks: JSON.stringify([{ ...OWN, gpu: true }]) })
    await expect.poll(async () => (await get('/api/tasks/nap')).json().versions).toBe(2)
    expect(await foundOf('worker newcomer: task nap')).toMatchObject({
      status: 'warning',
      found: expect.stringMatching(/^left out: .*otherwise than by the worker first.*since 1970-01-01T00:00:01/),
      next: expect.stringMatching(/same file into the tasks folder of each machine.*DELETE \/api\/workers\/first/)
    })
  })

  it('is changed by the first, and then counts for all that have the same', async () => {
    const changed = JSON.stringify([{ ...OWN, inputSchema: { required: ['ms'] } }])
    await change('first', { tasks: changed })
    await expect.poll(async () => (await post('nap', { input: {} })).statusCode).toBe(422)
    await change('newcomer', { tasks: changed })
    const seen = async () => {
      const task = (await get('/api/tasks/nap')).json()
      return [task.versions, task.workers.length]
    }
    await expect.poll(seen).toEqual([1, 2])
    expect(await foundOf('worker newcomer: task nap')).toBeUndefined()
  })

  it('is that of the next once the first is revoked', async () => {
    await change('newcomer', { tasks: JSON.stringify([{ ...OWN, gpu: true }]) })
    await expect.poll(async () => (await get('/api/tasks/nap')).json()).toMatchObject({ queue: 'cpu+nap', versions: 2 })
    await one.deps.access.revokeWorker('first')
    await expect.poll(async () => (await get('/api/tasks/nap')).json().queue).toBe('gpu+nap')
  })

  it('may have any name', async () => {
    await registerTasks(one, 'odd-names', [{ ...OWN, name: 'constructor' }], { at: new Date(3000) })
    expect((await get('/api/tasks/constructor')).json()).toMatchObject({ queue: 'cpu+constructor' })
  })
})

describe('a task that a worker has in its folder and cannot run', () => {
  it('is listed with what it lacks, can be posted, and its job says what it waits for', async () => {
    const large = { ...WORD_COUNT, name: 'large', gpu: true, vramGb: 20, lack: 'it needs a GPU with 20 GB' }
    await registerTasks(one, 'desk-9', [large], { tasks: [] })
    await vi.waitFor(async () => expect((await get('/api/workers/desk-9')).statusCode).toBe(200), { timeout: 8_000 })
    expect((await get('/api/tasks')).json().items).toContainEqual(
      expect.objectContaining({
        name: 'large',
        queue: 'gpu.vram24+large',
        workers: [],
        lacking: [{ id: 'desk-9', name: 'desk-9', status: 'online', lack: 'it needs a GPU with 20 GB' }]
      })
    )
    const answer = await post('large', { input: { text: 'one' } })
    expect(answer.statusCode).toBe(202)
    expect((await get(`/api/jobs/${answer.json().jobId}`)).json()).toMatchObject({
      status: 'PENDING',
      waitingFor: 'needs a GPU with 20 GB; no worker that is online has one'
    })
  })
})
