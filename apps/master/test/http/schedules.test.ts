import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { registerTasks, WORD_COUNT } from './register-tasks.ts'
import { startApp, type TestApp } from './start-app.ts'

let one: TestApp
beforeAll(async () => {
  one = await startApp()
  await registerTasks(one, 'desk-1', [WORD_COUNT])
})
afterAll(() => one.release())

const BODY = { task: 'word-count', input: { text: 'one two' }, cron: '30 2 * * *' }

const get = async (url: string) => await one.app.inject({ url, headers: one.bearer('read') })
const post = async (payload: object) =>
  await one.app.inject({ method: 'POST', url: '/api/schedules', headers: one.bearer('submit'), payload })
const remove = async (id: string) =>
  await one.app.inject({ method: 'DELETE', url: `/api/schedules/${id}`, headers: one.bearer('submit') })

describe('/api/schedules', () => {
  it('makes a schedule, shows it, and ends it', async () => {
    const times = { timeoutSeconds: 1.5, waitTimeoutSeconds: 600 }
    const more = { name: 'each night', timezone: 'Europe/Berlin', overlap: 'queue', priority: 7, attempts: 2, ...times }
    const answer = await post({ ...BODY, ...more })
    expect(answer.statusCode).toBe(201)
    const made = answer.json()
    expect(made).toEqual({
      ...BODY,
      ...more,
      scheduleId: expect.any(String),
      nextAt: expect.stringMatching(/T0[01]:30:00\.000Z$/),
      lastJobId: null,
      lastError: null,
      skippedAt: null,
      createdAt: expect.any(String)
    })
    expect(Date.parse(made.nextAt)).toBeGreaterThan(Date.now())
    expect(answer.headers.location).toBe(`/api/schedules/${made.scheduleId}`)
    const least = (await post(BODY)).json()
    expect(least).toMatchObject({ name: null, timezone: 'UTC', overlap: 'skip', priority: 0, attempts: null })
    expect(least).toMatchObject({ timeoutSeconds: null, waitTimeoutSeconds: null })
    expect((await get('/api/schedules')).json()).toEqual({ items: [made, least], nextCursor: null })
    expect((await get(`/api/schedules/${made.scheduleId}`)).json()).toEqual(made)

    const removed = await remove(made.scheduleId)
    expect([removed.statusCode, removed.body]).toEqual([204, ''])
    expect((await get('/api/schedules')).json().items).toEqual([least])
    for (const gone of [await remove(made.scheduleId), await get(`/api/schedules/${made.scheduleId}`)])
      expect([gone.statusCode, gone.json().code]).toEqual([404, 'SC_NOT_FOUND'])
  })

  it('refuses what could never run, and names the field', async () => {
    for (const [change, code, detail] of [
      [{ cron: '61 * * * *' }, 'SC_BAD_REQUEST', /^cron: /],
      [{ cron: undefined }, 'SC_BAD_REQUEST', /^cron: /],
      [{ timezone: 'Mars/Base' }, 'SC_BAD_REQUEST', /^timezone: /],
      [{ priority: 101 }, 'SC_BAD_REQUEST', /^priority: /],
      [{ runAt: '2099-01-01T00:00:00Z' }, 'SC_BAD_REQUEST', /runAt/],
      [{ task: 'word-cuont' }, 'SC_TASK_UNKNOWN', /Did you mean word-count\?/],
      [{ input: { txt: 'one' } }, 'SC_TASK_INPUT', /text: is missing/],
      [{ input: undefined }, 'SC_TASK_INPUT', /text: is missing/]
    ] as Array<[object, string, RegExp]>) {
      const answer = await post({ ...BODY, ...change })
      expect([answer.json().code, answer.json().detail], JSON.stringify(change)).toEqual([
        code,
        expect.stringMatching(detail)
      ])
    }
  })

  it('refuses times that never come, and more than 100 schedules of one key', async () => {
    const never = await post({ ...BODY, cron: '0 0 31 2,4,6,9,11 *' })
    expect([never.statusCode, never.json().code]).toEqual([422, 'SC_SCHEDULE_NEVER'])
    const has = (await get('/api/schedules')).json().items.length
    // Two at a time: they are counted one after the other.
    const answers = []
    for (let made = has; made < 102; made += 2) answers.push(...(await Promise.all([post(BODY), post(BODY)])))
    const refused = answers.filter(({ statusCode }) => statusCode !== 201)
    expect(answers.length - refused.length).toBe(100 - has)
    for (const answer of refused) {
      expect([answer.statusCode, answer.json().code]).toEqual([409, 'SC_TOO_MANY_SCHEDULES'])
      expect(answer.json().detail).toMatch(/100 are the most/)
    }
    const headers = one.bearer('admin')
    const other = await one.app.inject({ method: 'POST', url: '/api/schedules', headers, payload: BODY })
    expect(other.statusCode).toBe(201)
    // Together a megabyte of inputs, since each is listed.
    const large = { ...BODY, input: { text: 'x'.repeat(900_000) } }
    const postAsAdmin = async (payload: object) =>
      await one.app.inject({ method: 'POST', url: '/api/schedules', headers, payload })
    expect((await postAsAdmin(large)).statusCode).toBe(201)
    const tooLarge = await postAsAdmin(large)
    expect([tooLarge.statusCode, tooLarge.json().code]).toEqual([409, 'SC_TOO_MANY_SCHEDULES'])
    expect(tooLarge.json().detail).toMatch(/1048576 are the most/)
    const [first] = (await get('/api/schedules')).json().items
    await remove(first.scheduleId)
    expect((await post(BODY)).statusCode).toBe(201)
  })
})
