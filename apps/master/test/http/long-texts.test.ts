import { expect, test } from 'vitest'
import { blobNameOf, shownNameOf } from '../../src/http/blob-name.ts'
import { transcribeParamsSchema } from '../../src/transcription/params.ts'

/** What a form may have in it at most. An expression that walks it again from each place takes a minute for it. */
const LONG = 400_000

test('a file name of any length is a short one, with its extension', () => {
  expect(blobNameOf(`${'.'.repeat(LONG)}a.wav`)).toBe('a.wav')
  expect(blobNameOf(`${'.'.repeat(LONG)}a`)).toMatch(/^\w+$/)
  expect(blobNameOf(`${'x'.repeat(LONG)}.WAV`)).toMatch(/^x{116}\.WAV$/)
  expect(shownNameOf('ü'.repeat(LONG))).toBe('ü'.repeat(255))
})

test('a number of any length with a letter behind it is none', () => {
  const { error } = transcribeParamsSchema(150).safeParse({ chunk_seconds: `${'1'.repeat(LONG)}x` })
  expect(error?.issues.map(({ path }) => path[0])).toEqual(['chunk_seconds'])
})
