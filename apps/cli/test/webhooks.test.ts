import { afterEach, expect, test } from 'vitest'
import { runSc } from './run-sc.ts'
import { json, startTinyMaster, type TinyMaster } from './tiny-master.ts'

let master: TinyMaster | undefined
afterEach(async () => {
  await master?.close()
  master = undefined
})

const SECRET = { id: 's-1', createdAt: '2026-01-02T03:04:05.678Z', endsAt: null }
const OLD = { ...SECRET, id: 's-0', endsAt: '2026-01-03T03:04:05.678Z' }
const DELIVERY = {
  id: 'd-1',
  jobId: 'j-1',
  url: 'https://hook.example/\u001b[31mdone',
  status: 'PENDING',
  attempts: 3,
  error: { code: 'SC_WEBHOOK_FAILED', title: 'x', detail: 'The webhook at hook.example answered 503.' },
  nextAttemptAt: '2026-01-02T03:05:00.000Z'
}

test('secrets are listed; where there is none it is said how to make one', async () => {
  let items: object[] = [SECRET, OLD]
  master = await startTinyMaster({
    'GET /api/webhooks': (_, response) => json(response, 200, { items, nextCursor: null })
  })
  const { code, stdout } = await runSc(['webhooks', '--master', master.url])
  expect(stdout).toMatch(/s-1 +2026-01-02 03:04:05 +the next takes its place/)
  expect(stdout).toMatch(/s-0 +2026-01-02 03:04:05 +2026-01-03 03:04:05/)
  expect(code).toBe(0)
  expect(JSON.parse((await runSc(['webhooks', '--json', '--master', master.url])).stdout)).toEqual([SECRET, OLD])
  items = []
  expect((await runSc(['webhooks', '--master', master.url])).stdout).toContain('sc webhooks create')
})

test('a new secret goes to stdout alone', async () => {
  const sent: unknown[] = []
  master = await startTinyMaster({
    'POST /api/webhooks': (_, response, body) => {
      sent.push(JSON.parse(body.toString()))
      json(response, 201, { ...SECRET, secret: 'whsec_c2VjcmV0' })
    }
  })
  const made = await runSc(['webhooks', 'create', '--master', master.url])
  expect([made.code, made.stdout]).toEqual([0, 'whsec_c2VjcmV0\n'])
  expect(made.stderr).toContain('sc webhooks delete s-1')
  await runSc(['webhooks', 'create', '--overlap-seconds', '0', '--master', master.url])
  expect(sent).toEqual([{}, { overlapSeconds: 0 }])
})

test('a secret is ended by its id', async () => {
  master = await startTinyMaster({ 'DELETE /api/webhooks/s-0': (_, response) => json(response, 200, OLD) })
  const { code, stdout } = await runSc(['webhooks', 'delete', 's-0', '--master', master.url])
  expect([code, stdout]).toEqual([0, expect.stringMatching(/s-0 .* 2026-01-03 03:04:05/)])
  const none = await runSc(['webhooks', 'delete', 's-9', '--master', master.url])
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('SC_NOT_FOUND')])
})

test('deliveries are listed page by page, and sent again', async () => {
  master = await startTinyMaster({
    'GET /api/webhooks/deliveries': (request, response) => {
      const isLast = request.url?.includes('cursor=more')
      const id = isLast ? 'd-2' : 'd-1'
      json(response, 200, { items: [{ ...DELIVERY, id }], nextCursor: isLast ? null : 'more' })
    },
    'POST /api/webhooks/deliveries/d-1/resend': (_, response) => json(response, 202, DELIVERY)
  })
  const args = ['webhooks', 'deliveries', '--status', 'PENDING', '--job', 'j-1', '--master', master.url]
  const { code, stdout } = await runSc(args)
  expect(stdout).toMatch(/d-1 +j-1 +PENDING +3 +2026-01-02 03:05:00 .* answered 503\.\n/)
  expect(stdout).toContain('d-2')
  expect(stdout).not.toContain('\u001b')
  expect(code).toBe(0)
  expect(master.requests).toEqual([
    'GET /api/webhooks/deliveries?status=PENDING&jobId=j-1',
    'GET /api/webhooks/deliveries?status=PENDING&jobId=j-1&cursor=more'
  ])
  const again = await runSc(['webhooks', 'resend', 'd-1', '--master', master.url])
  expect([again.code, again.stdout]).toEqual([0, expect.stringContaining('PENDING')])
})

test.for([
  [['webhooks', 'resend'], "missing required argument 'id'"],
  [['webhooks', 'create', '--overlap-seconds', 'a day'], 'Expected a whole number'],
  [['webhooks', 'dleiveries'], 'too many arguments']
] as const)('%j is refused with exit code 2', async ([args, message]) => {
  const { code, stderr } = await runSc([...args], { SC_MASTER_URL: 'http://127.0.0.1:9' })
  expect([code, stderr]).toEqual([2, expect.stringContaining(message)])
})
