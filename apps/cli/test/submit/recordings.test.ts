import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ScError } from '@sc/shared/errors.ts'
import { afterAll, expect, test } from 'vitest'
import { findRecordings } from '../../src/submit/recordings.ts'

const folder = mkdtempSync(join(tmpdir(), 'sc-recordings-'))
afterAll(() => rmSync(folder, { recursive: true }))

function file(name: string): string {
  const path = join(folder, name)
  writeFileSync(path, 'x')
  return path
}

test('a result is named after its recording', () => {
  const [one] = findRecordings([file('talk.of.today.mp3')], 'text', '/out')
  expect(one?.resultPath).toBe('/out/talk.of.today.txt')
  expect(findRecordings([file('talk.mp3')], 'srt', '/out')[0]?.resultPath).toBe('/out/talk.srt')
  expect(findRecordings([file('talk.mp3')], 'srt', undefined)[0]?.resultPath).toBeUndefined()
})

test('every file that cannot be sent is named, in one message', () => {
  mkdirSync(join(folder, 'folder'))
  const paths = [join(folder, 'missing.mp3'), file('there.mp3'), join(folder, 'folder')]
  expect(() => findRecordings(paths, 'text', undefined)).toThrow(
    new ScError('SC_CONFIG', `${paths[0]}: there is no such file\n${paths[2]}: is not a file`)
  )
})

test('two results are never written to one file', () => {
  const paths = [file('a.mp3'), file('a.wav')]
  expect(() => findRecordings(paths, 'text', '/out')).toThrow('a.txt')
  expect(findRecordings(paths, 'text', undefined)).toHaveLength(2)
})
