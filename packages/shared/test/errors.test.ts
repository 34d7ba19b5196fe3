import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { REPO_DIR } from '../src/config.ts'
import { ERRORS, reportOf, ScError } from '../src/errors.ts'

it('docs/errors.md has the same table, row by row', () => {
  const text = readFileSync(join(REPO_DIR, 'docs/errors.md'), 'utf8')
  const rows = [...text.matchAll(/^\| `(SC_\w+)` \| (\d+) \| (yes|no) \| ([^|]+) \| [^|]*\w[^|]* \|$/gm)]
  const documented = rows.map(([, code, status, again, title]) => [code, Number(status), again === 'yes', title])
  const table = Object.entries(ERRORS).map(([code, { status, retryable, title }]) => [code, status, retryable, title])
  expect(documented).toEqual(table)
})

it('a report has the title of the table and a detail of at most 4,000 characters, with its beginning and its end', () => {
  const long = `begin ${'😀'.repeat(100_000)} end`
  const report = new ScError('SC_TASK_FAILED', long).toReport()
  expect(report).toEqual(reportOf('SC_TASK_FAILED', long))
  expect(report.title).toBe(ERRORS.SC_TASK_FAILED.title)
  expect(report.detail.length).toBeLessThanOrEqual(4_000)
  expect(report.detail).toMatch(/^begin .* \(\d+ characters, cut\) .* end$/s)
  expect(report.detail.isWellFormed()).toBe(true)
  expect(reportOf('SC_TASK_FAILED', 'short').detail).toBe('short')
})

it('Python sends no code that the table lacks', () => {
  const folder = join(REPO_DIR, 'python-gpu')
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.py'))
  const codes = files.flatMap(name => readFileSync(join(folder, name), 'utf8').match(/\bSC_[A-Z_]+\b/g) ?? [])
  // Settings, and a name of the operating system, have the same prefix.
  const sent = [...new Set(codes)].filter(
    code => !/^SC_(MODELS_DIR|DATA_DIR|TASKS_DIR|DEFAULT_MODEL|PAGE_SIZE)$/.test(code)
  )
  expect(files.length).toBeGreaterThan(0)
  for (const code of sent) expect(Object.keys(ERRORS)).toContain(code)
})
