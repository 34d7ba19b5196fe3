import { setImmediate } from 'node:timers/promises'
import { afterEach, expect, it } from 'vitest'
import { type ProcessGroup, spawnGroup } from '../src/children/process-group.ts'

const MUCH = 'x'.repeat(4 * 1024 ** 2)
let child: ProcessGroup | undefined
afterEach(() => child?.signal('SIGKILL'))

function start(script: string): ProcessGroup {
  const events = { onLine: () => {}, onLineWithoutEnd: () => {}, onStderr: () => {}, onEnd: () => {} }
  const command = { file: process.execPath, args: ['-e', script], cwd: process.cwd() }
  child = spawnGroup(command, {}, events)
  return child
}

async function isDrained(drained: Promise<void>): Promise<boolean> {
  return await Promise.race([drained.then(() => true), setImmediate(false)])
}

it('says when a process has read what was written', async () => {
  const reads = start('process.stdin.resume()')
  await reads.drained()
  reads.write(MUCH)
  const drained = reads.drained()
  expect(await isDrained(drained)).toBe(false)
  await drained
  reads.write('a little')
  await reads.drained()
})

it('has nobody wait for a process that ended before', async () => {
  const sleeps = start('setInterval(() => {}, 1_000)')
  sleeps.write(MUCH)
  const drained = [sleeps.drained(), sleeps.drained()]
  expect(await isDrained(Promise.race(drained))).toBe(false)
  sleeps.signal('SIGKILL')
  await Promise.all(drained)
  await sleeps.drained()
})
