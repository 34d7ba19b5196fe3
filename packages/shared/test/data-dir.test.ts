import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import {
  dataDir,
  loadAdminKey,
  readMasterFile,
  removeMasterFile,
  writeMasterFile,
  writePrivateFile
} from '../src/data-dir.ts'

const root = mkdtempSync(join(tmpdir(), 'sc-data-'))
afterAll(() => rmSync(root, { recursive: true }))

test('private files are replaced whole, mode 0600, and leave nothing beside them', () => {
  const path = join(root, 'deep/er/file')
  writePrivateFile(path, 'one')
  writePrivateFile(path, 'two')
  expect(readFileSync(path, 'utf8')).toBe('two')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(join(root, 'deep')).mode & 0o777).toBe(0o700)
  expect(readdirSync(join(root, 'deep/er'))).toEqual(['file'])
})

test('the admin key is made once and kept; a configured one wins and is written down', () => {
  const dir = dataDir(join(root, 'keys'))
  const first = loadAdminKey(dir)
  expect(first.length).toBeGreaterThanOrEqual(32)
  expect(loadAdminKey(dir)).toBe(first)
  expect(statSync(dir.adminKey).mode & 0o777).toBe(0o600)
  expect(loadAdminKey(dir, 'configured-admin-key')).toBe('configured-admin-key')
  expect(loadAdminKey(dir)).toBe('configured-admin-key')
})

test('master.json is found while the master runs and gone afterwards', () => {
  const dir = dataDir(join(root, 'master'))
  expect(readMasterFile(dir)).toBeUndefined()
  const file = { redisUrl: 'redis://:x@127.0.0.1:1/0', httpUrl: 'http://127.0.0.1:5080', pid: 7 }
  writeMasterFile(dir, file)
  expect(readMasterFile(dir)).toEqual(file)
  expect(statSync(dir.master).mode & 0o777).toBe(0o600)
  removeMasterFile(dir)
  expect(readMasterFile(dir)).toBeUndefined()
})
