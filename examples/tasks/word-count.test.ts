import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runTask } from 'semantics-cluster/testing'
import wordCount from './word-count.ts'

test('counts words and lines', async () => {
  const { output, logs, progress } = await runTask(wordCount, { text: 'one two\nthree' })
  assert.deepEqual(output, { words: 3, lines: 2 })
  assert.deepEqual(logs, [{ level: 'info', message: 'Counted', fields: { words: 3 } }])
  assert.equal(progress.at(-1)?.fraction, 1)
})

test('refuses no text', async () => {
  await assert.rejects(runTask(wordCount, { text: '' }), { code: 'SC_TASK_INPUT', message: /text: / })
})
