import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { dataDir } from '@sc/shared/data-dir.ts'
import { identityOf } from '@sc/shared/processes.ts'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type Child, startChild } from '../../src/quickstart/child.ts'
import { hasLeftovers, waitForLeftovers, writeRecord } from '../../src/quickstart/record.ts'

const never = new AbortController().signal
let root: string
let child: Child

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sc-record-'))
  const script = join(import.meta.dirname, 'fixtures/child.ts')
  child = startChild({ name: 'master', script, args: [], logDir: join(root, 'logs') })
})

afterEach(async () => {
  child.signal('SIGKILL')
  await child.ended
  rmSync(root, { recursive: true })
})

test('a quickstart that lives keeps its children; one that stops is waited for', () => {
  const dir = dataDir(root)
  expect(hasLeftovers(dir)).toBe(false)
  writeRecord(dir, [child], false)
  expect(hasLeftovers(dir)).toBe(false)
  writeRecord(dir, [child], true)
  expect(hasLeftovers(dir)).toBe(true)
})

test('what a killed quickstart left is waited for until it is gone', async () => {
  const dir = dataDir(root)
  const [dead, left] = [{ pid: process.pid, startedAt: 'another time' }, identityOf(child.pid as number)]
  writeFileSync(join(root, 'quickstart.json'), JSON.stringify({ owner: dead, stopping: false, children: [left] }))
  expect(hasLeftovers(dir)).toBe(true)
  const waited = waitForLeftovers(dir, never)
  child.signal('SIGTERM')
  await waited
  expect(child.isRunning()).toBe(false)
  expect(hasLeftovers(dir)).toBe(false)
})
