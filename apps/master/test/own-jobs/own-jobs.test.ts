import { join } from 'node:path'
import { createLog } from '@sc/shared/log.ts'
import { beforeAll, expect, it } from 'vitest'
import { useEngine } from '../jobs/use-engine.ts'
import { createAdder } from './adder.ts'

const folder = join(import.meta.dirname, '../fixtures/own-jobs')
const logged: string[] = []

const at = useEngine(async () => {
  const log = createLog('test', 'info', { write: line => void logged.push(line) })
  return { tasksDir: folder, log }
})

const { register, submit, takeOne, work, fail, ended } = createAdder(at)
beforeAll(register)

it('plans with results of its own units, and merges in the order of the plan', async () => {
  const jobId = await submit('add-up', { numbers: [1, 10, 20] })
  await work(await takeOne())
  const [second, third] = [await takeOne(), await takeOne()]
  await work(third)
  await work(second)
  await ended(jobId, 'COMPLETED')
  expect((await at.world.job(jobId)).output).toEqual({ sums: [1, 11, 21], total: 33 })
})

it('does no unit twice when the master stops in the middle of the plan', async () => {
  const jobId = await submit('add-up', { numbers: [1, 10] })
  const first = await takeOne()
  await at.engine.stop()
  await work(first)
  await at.start()
  await work(await takeOne())
  await ended(jobId, 'COMPLETED')
  expect((await at.world.units(jobId)).map(({ output, attempts, crashes }) => [output, attempts, crashes])).toEqual([
    [1, 0, 0],
    [11, 0, 0]
  ])
})

it('fails with its first failed unit, or is PARTIAL where it can do without', async () => {
  const strict = await submit('add-up', { numbers: [1] })
  await fail(await takeOne())
  await ended(strict, 'FAILED')
  expect(await at.world.job(strict)).toMatchObject({ error: { code: 'SC_TASK_FAILED', detail: 'it fell over' } })
  const tolerant = await submit('as-many-as-can-be', {})
  await fail(await takeOne())
  await work(await takeOne())
  await work(await takeOne())
  await ended(tolerant, 'PARTIAL')
  expect((await at.world.job(tolerant)).output).toEqual({ done: 2 })
})

it('checks what the plan asks for', async () => {
  const jobId = await submit('careless', {})
  await ended(jobId, 'FAILED')
  const { error } = await at.world.job(jobId)
  expect(error).toMatchObject({ code: 'SC_TASK_INPUT' })
  expect(error?.detail).toMatch(/a: must be number; b: is missing|b: is missing; a: must be number/)
})

it('is among the tasks, with its schema; a file that is none is left out by name', async () => {
  expect(await at.world.tasks.find('add-up')).toMatchObject({ isJob: true, inputSchema: { type: 'object' } })
  expect(logged.join('')).toMatch(/broken\.ts of the tasks folder was left out: .*nothing works here/)
  expect(logged.join('')).toMatch(/empty\.ts of the tasks folder was left out: it exports neither a task nor a job/)
})
