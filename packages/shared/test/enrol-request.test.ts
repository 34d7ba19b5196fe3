import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  type EnrolReply,
  type EnrolRequest,
  enrolRequestSchema,
  isProof,
  JOIN_USER,
  joinCodeExpiry,
  joinUser,
  newSeal,
  openReply,
  proofOf,
  sealReply,
  secretHash
} from '../src/enrol-request.ts'

const expiresAt = new Date('2026-03-04T05:06:07Z')
const request: EnrolRequest = {
  asker: joinUser(expiresAt, '0123456789ab'),
  name: 'desk',
  hostname: 'desk.local',
  workerId: '',
  protocol: 5,
  seal: newSeal(),
  proof: ''
}
const hash = secretHash('secret')
const proven = { ...request, proof: proofOf(hash, request) }

test("a join code's user says until when it is good", () => {
  expect(request.asker).toMatch(JOIN_USER)
  expect(joinCodeExpiry(request.asker)).toEqual(expiresAt)
})

test('a proof is good for the very fields that it was made for', () => {
  expect(isProof(hash, enrolRequestSchema.parse(proven))).toBe(true)
  // In another order they are the same.
  expect(isProof(hash, Object.fromEntries(Object.entries(proven).reverse()) as EnrolRequest)).toBe(true)
  const others: Omit<EnrolRequest, 'proof'> = {
    asker: joinUser(expiresAt, 'ba9876543210'),
    name: 'desk2',
    hostname: 'elsewhere',
    workerId: 'w-1',
    protocol: 6,
    seal: newSeal()
  }
  // Every field of a request is covered, also one that is added later.
  expect(Object.keys(others).sort()).toEqual(
    Object.keys(enrolRequestSchema.shape)
      .filter(key => key !== 'proof')
      .sort()
  )
  for (const [field, value] of Object.entries(others))
    expect(isProof(hash, { ...proven, [field]: value }), field).toBe(false)
})

test('a proof by another secret, and none, is no proof', () => {
  expect(isProof(secretHash('another'), proven)).toBe(false)
  expect(isProof(hash, request)).toBe(false)
  expect(isProof(hash, { ...proven, proof: proven.proof.slice(0, -1) })).toBe(false)
})

const replies: EnrolReply[] = [
  { workerId: 'w-1', key: 'k', secret: 's' },
  { workerId: 'w-1', key: 'k' },
  { error: { code: 'SC_REVOKED', detail: 'it was revoked: \u{1f512}' } }
]

test.each(replies)('a sealed answer opens with its seal only', reply => {
  const seal = newSeal()
  const sealed = sealReply(seal, reply)
  expect(openReply(seal, sealed)).toEqual(reply)
  expect(openReply(newSeal(), sealed)).toBeUndefined()
  expect(Buffer.from(sealed, 'base64url').toString()).not.toMatch(/workerId|error/)
})

test('the same answer is sealed in another way each time', () => {
  const [reply, seal] = [replies[0] as EnrolReply, newSeal()]
  expect(sealReply(seal, reply)).not.toBe(sealReply(seal, reply))
})

test('an answer of which one byte is another does not open, nor does a part of it', () => {
  const seal = newSeal()
  const bytes = Buffer.from(sealReply(seal, replies[0] as EnrolReply), 'base64url')
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] as number) ^ 1
    expect(openReply(seal, changed.toString('base64url'))).toBeUndefined()
    expect(openReply(seal, bytes.subarray(0, at).toString('base64url'))).toBeUndefined()
  }
})

test('whatever else stands there is no answer', () => {
  const seal = newSeal()
  fc.assert(fc.property(fc.string(), text => openReply(seal, text) === undefined))
})

test.each([
  ['a field that is not known', { ...proven, more: 1 }],
  ['an asker that would be another key', { ...proven, asker: 'w-1:*:long-enough' }],
  ['a name that is a path', { ...proven, name: '../desk' }],
  ['a seal that is too short', { ...proven, seal: newSeal().slice(1) }],
  ['a worker id without end', { ...proven, workerId: 'w'.repeat(101) }],
  ['a host name without end', { ...proven, hostname: 'h'.repeat(256) }]
])('%s is refused', (_what, one) => {
  expect(enrolRequestSchema.safeParse(one).success).toBe(false)
})
