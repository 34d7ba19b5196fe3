import { expect, it } from 'vitest'
import { leftOutFindings } from '../../src/report/left-out.ts'

it('each file that slots leave out of the tasks folder is a finding of its own, once', () => {
  const broken = { file: 'a.py', reason: 'No module named torch' }
  const twice = { file: 'b.ts', reason: 'the task b is in a.ts already' }
  expect(leftOutFindings([{ leftOut: [broken] }, { leftOut: [broken, twice] }, { leftOut: [] }])).toEqual([
    {
      check: 'tasks folder: a.py',
      status: 'failed',
      found: broken.reason,
      next: expect.stringMatching(/^Correct the file/)
    },
    { check: 'tasks folder: b.ts', status: 'failed', found: twice.reason, next: expect.any(String) }
  ])
  expect(leftOutFindings([])).toEqual([])
})
