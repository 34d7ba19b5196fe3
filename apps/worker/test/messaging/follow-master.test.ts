import type { ScError } from '@sc/shared/errors.ts'
import { createLog } from '@sc/shared/log.ts'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { expect, test } from 'vitest'
import { type FollowDeps, followMaster, protocolError } from '../../src/messaging/follow-master.ts'
import type { Welcome } from '../../src/messaging/link.ts'

function follow(more: Partial<FollowDeps> = {}) {
  const lines: string[] = []
  const errors: ScError[] = []
  const log = createLog('test', 'info', { write: line => void lines.push(line) })
  const onOtherProtocol = (error: ScError): void => void errors.push(error)
  return {
    lines,
    errors,
    master: followMaster({ masterUrl: undefined, isLocal: false, onOtherProtocol, log, ...more })
  }
}

const welcome = (more: Partial<Welcome> = {}): Welcome => ({
  type: 'welcome',
  instance: null,
  protocol: PROTOCOL_VERSION,
  version: '0.0.1',
  httpUrl: 'http://m:1',
  localUrl: 'http://127.0.0.1:1',
  draining: false,
  ...more
})

test('the address of the master is that of its last welcome', async () => {
  const { master } = follow()
  expect(await master.httpUrl()).toBe('')
  master.onWelcome(welcome())
  expect(await master.httpUrl()).toBe('http://m:1')
  master.onWelcome(welcome({ httpUrl: 'http://m:2' }))
  expect(await master.httpUrl()).toBe('http://m:2')
})

test('a worker on the machine of the master goes by its local address; one that is configured goes before both', async () => {
  const local = follow({ isLocal: true }).master
  local.onWelcome(welcome())
  expect(await local.httpUrl()).toBe('http://127.0.0.1:1')
  const configured = follow({ isLocal: true, masterUrl: 'https://proxy' }).master
  expect(await configured.httpUrl()).toBe('https://proxy')
  configured.onWelcome(welcome())
  expect(await configured.httpUrl()).toBe('https://proxy')
})

test('a welcome like the last one is nothing new', () => {
  const { master } = follow()
  expect(master.onWelcome(welcome({ instance: 'i' }))).toBe(true)
  expect(master.onWelcome(welcome({ draining: true }))).toBe(false)
  expect(master.onWelcome(welcome({ httpUrl: 'http://m:2' }))).toBe(true)
  expect(master.onWelcome(welcome({ httpUrl: 'http://m:2', version: '0.0.2' }))).toBe(true)
})

test('a worker says once that the master is newer', () => {
  const { master, lines, errors } = follow()
  master.onWelcome(welcome())
  expect(lines).toEqual([])
  for (let times = 0; times < 3; times++) master.onWelcome(welcome({ version: '99.0.0' }))
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(
    /The master is version 99\.0\.0 and this worker .*To update it: stop it .*`git pull`.* paste a new one/
  )
  master.onWelcome(welcome({ version: '99.0.1' }))
  expect(lines).toHaveLength(2)
  expect(errors).toEqual([])
})

test('a master of another protocol is told, with which side to update', () => {
  const { master, errors } = follow()
  master.onWelcome(welcome({ protocol: PROTOCOL_VERSION + 1 }))
  expect(errors).toMatchObject([{ code: 'SC_PROTOCOL_VERSION', message: /update this worker: stop it/ }])
  expect(protocolError(PROTOCOL_VERSION - 1)).toMatchObject({ message: /update the master/ })
  expect(protocolError(PROTOCOL_VERSION)).toBeUndefined()
})
