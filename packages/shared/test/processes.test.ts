import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test } from 'vitest'
import { belongsTo, programOf } from '../src/processes.ts'

test.runIf(process.platform === 'linux')('tells what a process started from what it did not', async () => {
  const leader = spawn('/bin/sh', ['-c', 'sleep 60 & echo $!; wait'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore']
  })
  const [said] = (await once(leader.stdout, 'data')) as [Buffer]
  const grandchild = Number(said.toString())
  const pid = leader.pid as number
  expect(belongsTo(pid, new Set([pid]))).toBe(true)
  expect(belongsTo(grandchild, new Set([pid]))).toBe(true)
  expect(belongsTo(process.pid, new Set([pid]))).toBe(false)
  expect(belongsTo(1, new Set([pid]))).toBe(false)
  await expect.poll(() => programOf(grandchild)).toBe('sleep')
  // Its parent is gone, its group is not.
  leader.kill('SIGKILL')
  await once(leader, 'exit')
  expect(belongsTo(grandchild, new Set([pid]))).toBe(true)
  process.kill(-pid, 'SIGKILL')
  expect(belongsTo(2 ** 22 + 1, new Set([pid]))).toBe(false)
  expect(programOf(2 ** 22 + 1)).toBeNull()
})
