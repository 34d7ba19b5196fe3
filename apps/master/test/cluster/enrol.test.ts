import { randomUUID } from 'node:crypto'
import { type EnrolRequest, newSeal, openReply, proofOf, secretHash } from '@sc/shared/enrol-request.ts'
import { createLog } from '@sc/shared/log.ts'
import { ENROL_ASKERS, enrolAnswerKey, enrolAskKey, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { startEnrolling } from '../../src/cluster/enrol.ts'
import { startApp, type TestApp } from '../http/start-app.ts'

const WAIT = { timeout: 8_000, interval: 20 }
let one: TestApp
let enrolling: ReturnType<typeof startEnrolling>
beforeAll(async () => {
  one = await startApp()
  const { db, redis, access } = one.deps
  enrolling = startEnrolling({ db, redis, access, log: createLog('test', 'silent') })
})
afterAll(async () => {
  await enrolling?.stop()
  await one?.release()
})

interface Asked {
  name?: string
  workerId?: string
  protocol?: number
  change?: Partial<EnrolRequest>
}

async function ask(
  code: { user: string; secret: string } | null,
  { name = `w${randomUUID().slice(0, 6)}`, change, ...more }: Asked = {}
) {
  const asker = code?.user ?? randomUUID()
  const seal = newSeal()
  const request: EnrolRequest = {
    asker,
    name,
    hostname: 'desk',
    workerId: '',
    protocol: PROTOCOL_VERSION,
    ...more,
    seal,
    proof: ''
  }
  if (code) request.proof = proofOf(secretHash(code.secret), request)
  const { redis } = one.deps
  await redis.set(enrolAskKey(asker), JSON.stringify({ ...request, ...change }))
  if (!code) await redis.rpush(ENROL_ASKERS, asker)
  return await vi.waitFor(async () => {
    const reply = openReply(seal, (await redis.get(enrolAnswerKey(asker))) ?? '')
    if (!reply) throw new Error('no answer')
    return reply
  }, WAIT)
}
const codeOf = (reply: Awaited<ReturnType<typeof ask>>) => ('error' in reply ? reply.error.code : 'enrolled')
const idOf = (reply: Awaited<ReturnType<typeof ask>>) => ('error' in reply ? '' : reply.workerId)
const workerRow = (id: string) =>
  one.deps.db.selectFrom('workers').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
const seen = (id: string) =>
  one.deps.db.updateTable('workers').set({ last_seen: new Date() }).where('id', '=', id).execute()

describe('enrolling', () => {
  it('makes one worker of one code, with a login of its own', async () => {
    const code = await one.deps.access.createJoinCode()
    const first = await ask(code)
    expect(first).toMatchObject({
      workerId: expect.stringMatching(/^w-/),
      key: expect.any(String),
      secret: expect.any(String)
    })
    expect(codeOf(await ask(code))).toBe('SC_JOIN_CODE_USED')
    expect(String(await one.deps.redis.call('ACL', 'GETUSER', idOf(first)))).toContain(`sc:out:${idOf(first)}`)
  })

  it('believes a proof for the very fields that were asked with', async () => {
    const code = await one.deps.access.createJoinCode()
    for (const change of [{ name: 'other' }, { hostname: 'other' }, { workerId: 'w-1' }, { proof: 'wrong' }])
      expect(codeOf(await ask(code, { change })), JSON.stringify(change)).toBe('SC_FORBIDDEN')
    expect(codeOf(await ask({ ...code, secret: 'guessed' }))).toBe('SC_FORBIDDEN')
    expect(codeOf(await ask(code))).toBe('enrolled')
  })

  it('gives a code no identity of an earlier time', async () => {
    const id = idOf(await ask(null))
    const made = await ask(await one.deps.access.createJoinCode(), { workerId: id })
    expect(idOf(made)).not.toBe(id)
  })

  it('lets an ordinary login keep its identity, with new secrets', async () => {
    const name = 'lasting'
    const first = await ask(null, { name })
    await seen(idOf(first))
    const again = await ask(null, { name, workerId: idOf(first) })
    expect(idOf(again)).toBe(idOf(first))
    expect(again).not.toEqual(first)
  })

  it('gives one name to one worker, and says how to go on', async () => {
    const id = idOf(await ask(null, { name: 'twice' }))
    await seen(id)
    const refused = await ask(await one.deps.access.createJoinCode(), { name: 'twice' })
    expect(refused).toMatchObject({
      error: { code: 'SC_NAME_TAKEN', detail: expect.stringMatching(/desk.* since 20.*another --name.*DELETE/) }
    })
    const items = async () => {
      const answer = await one.app.inject({ url: '/api/cluster/doctor', headers: one.bearer('read') })
      return answer.json().items
    }
    await expect.poll(items).toContainEqual({
      check: 'worker twice: name',
      status: 'warning',
      found: expect.stringMatching(new RegExp(`^${id} \\(desk\\) .* since 20.*another machine \\(desk\\) asked`)),
      next: expect.stringContaining(`DELETE /api/workers/${id}`)
    })
    await one.deps.access.revokeWorker(id)
    expect(codeOf(await ask(await one.deps.access.createJoinCode(), { name: 'twice' }))).toBe('enrolled')
  })

  it('holds a name for one that was not seen yet, for a minute, and ten from codes of another machine', async () => {
    const code = () => one.deps.access.createJoinCode()
    const enrolledAgo = (seconds: number) =>
      one.deps.db
        .updateTable('workers')
        .set({ enrolled_at: new Date(Date.now() - seconds * 1_000) })
        .where('name', '=', 'studio')
        .execute()
    const first = idOf(await ask(await code(), { name: 'studio' }))
    // Whoever has a code may say that it is of any machine.
    const again = await code()
    expect(await ask(again, { name: 'studio' })).toMatchObject({
      error: { code: 'SC_NAME_TAKEN', detail: expect.stringMatching(/not seen yet: .*try again in a minute/) }
    })
    expect((await workerRow(first)).revoked_at).toBeNull()
    await enrolledAgo(61)
    expect(codeOf(await ask(again, { name: 'studio' }))).toBe('enrolled')
    expect((await workerRow(first)).revoked_at).not.toBeNull()
    await one.deps.db.updateTable('workers').set({ hostname: 'another' }).where('name', '=', 'studio').execute()
    expect(codeOf(await ask(await code(), { name: 'studio' }))).toBe('SC_NAME_TAKEN')
    await enrolledAgo(61)
    expect(codeOf(await ask(await code(), { name: 'studio' }))).toBe('SC_NAME_TAKEN')
    await enrolledAgo(601)
    const items = async () =>
      (await one.app.inject({ url: '/api/cluster/doctor', headers: one.bearer('read') })).json().items
    const found = expect.stringMatching(/^w-.* \(another\) joined at .* and was never seen: it gets no units/)
    await expect.poll(items).toContainEqual(expect.objectContaining({ check: 'worker studio: presence', found }))
    expect(codeOf(await ask(await code(), { name: 'studio' }))).toBe('enrolled')
  })

  it('lets an ordinary login, which may do anything, take the place of one of its machine that was not seen', async () => {
    const first = idOf(await ask(null, { name: 'plain' }))
    expect(codeOf(await ask(null, { name: 'plain' }))).toBe('enrolled')
    expect((await workerRow(first)).revoked_at).not.toBeNull()
  })

  it('tells who speaks another protocol which side to update', async () => {
    const refused = await ask(null, { protocol: PROTOCOL_VERSION - 1 })
    expect(refused).toMatchObject({
      error: { code: 'SC_PROTOCOL_VERSION', detail: expect.stringMatching(/update this worker/) }
    })
  })

  it.each([
    ['too long', 'x'.repeat(5_000)],
    ['no JSON', 'x'],
    ['a hostname with a NUL', JSON.stringify({ hostname: 'a\u0000' })],
    ['a name with a line end', JSON.stringify({ name: 'a\nb' })],
    ['another asker', JSON.stringify({ asker: 'join-other-x' })]
  ])('drops a request that is %s, and answers the next', async (_what, text) => {
    const code = await one.deps.access.createJoinCode()
    await one.deps.redis.set(enrolAskKey(code.user), text)
    await vi.waitFor(async () => expect(await one.deps.redis.exists(enrolAskKey(code.user))).toBe(0), WAIT)
    expect(codeOf(await ask(code))).toBe('enrolled')
  })
})
