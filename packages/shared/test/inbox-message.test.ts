import { expect, test } from 'vitest'
import { inboxMessageSchema } from '../src/inbox-message.ts'

const params = { text: 'x' }
const first = { unitId: 'u', jobId: 'j', task: 't', index: 0, inputRef: 'files/1', params, deadline: 1_000 }
const units = {
  type: 'units',
  slot: 'cpu0',
  want: 1,
  entry: 'e',
  queue: 'cpu',
  ticket: 'of the entry',
  isAgain: false,
  first,
  more: [{ unitId: 'v', index: 1, params }],
  tickets: ['of u', 'of v']
}
const welcome = {
  type: 'welcome',
  instance: 'i',
  protocol: 5,
  version: '0.1.0',
  httpUrl: 'http://m:1',
  localUrl: 'http://127.0.0.1:1',
  draining: false
}

test.each([
  welcome,
  { ...welcome, instance: null },
  units,
  { type: 'prefetch', units: [{ inputRef: 'files/2', params: {} }] },
  { type: 'cancel', unitIds: ['u'] },
  { type: 'drain' },
  { type: 'resume' },
  { type: 'revoked' }
])('a message $type is taken as it is', message => {
  expect(inboxMessageSchema.parse(message)).toEqual(message)
})

test('of a prefetch nothing is read but what names files', () => {
  const parsed = inboxMessageSchema.parse({ type: 'prefetch', units: [first] })
  expect(parsed).toEqual({ type: 'prefetch', units: [{ inputRef: 'files/1', params }] })
})

test.each([
  ['no want', { ...units, want: undefined }],
  ['no unit', { ...units, first: undefined }],
  ['a unit without a deadline', { ...units, first: { ...first, deadline: 0 } }],
  ['a welcome that does not say for whom', { ...welcome, instance: undefined }],
  ['a type that is not known', { type: 'other' }]
])('%s is refused', (_what, message) => {
  expect(inboxMessageSchema.safeParse(message).success).toBe(false)
})
