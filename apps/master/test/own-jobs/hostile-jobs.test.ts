import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { json } from 'node:stream/consumers'
import { sql } from 'kysely'
import { beforeAll, expect, it, vi } from 'vitest'
import type { Taken } from '../jobs/test-worker.ts'
import { useEngine } from '../jobs/use-engine.ts'
import { createAdder } from './adder.ts'

const WAIT = { timeout: 45_000, interval: 20 }

const folder = mkdtempSync(join(tmpdir(), 'sc-own-jobs-'))

/** A job of this name; `plan` and `merge` are bodies of functions. */
function write(name: string, plan: string, merge = 'return units.map(({ output }) => output)'): void {
  const text = `
    import { defineJob } from 'semantics-cluster'
    import { z } from 'zod'
    export default defineJob({
      name: '${name}',
      input: z.object({}),
      output: z.any(),
      async *plan(input, { run, signal }) {${plan}},
      async merge(units) {${merge}}
    })`
  writeFileSync(join(folder, `${name}.ts`), text)
}

const ONE = "yield { task: 'add', input: { a: 1, b: 1 } }"
const KEPT = `
  const all = [1, 2, 3].map(a => run({ task: 'add', input: { a, b: 0 } }))
  for (const one of all) yield { task: 'add', input: { a: await one, b: 10 } }`
write('plain', ONE)
write('kept', KEPT)
write('exits', 'process.exit(0)')
write('stray', `fetch('http://127.0.0.1:9/'); await new Promise(() => {})`)
write('timer', `setTimeout(() => { throw new Error('in a timer') }, 1); await new Promise(() => {})`)
write('loops', 'for (;;) {}')
write('kills', `process.kill(process.pid, 'SIGKILL'); await new Promise(() => {})`)
write('eats', 'const all = []; for (;;) all.push(new Array(100_000).fill(all.length))')
write('waits', `yield { task: 'add', input: { a: await run({ task: 'add', input: { a: 1, b: 0 } }), b: 1 } }`)
write('many', `for (let a = 0; a < 2_500; a++) yield { task: 'add', input: { a, b: 0 } }`, 'return units.length')
write('heavy', `for (let a = 0; a < 70; a++) yield { task: 'add', input: { a, b: 0, text: 'x'.repeat(2 ** 20) } }`)
write('hangs', ONE, 'await new Promise(() => {})')
write('throws', ONE, `throw new Error('no good')`)
write('bare', 'throw Object.create(null)')
write('circle', ONE, 'const circle = {}; return Object.assign(circle, { circle })')
write('idle', 'await new Promise(() => {})')
write('tells', ONE, 'return units')

const GATE = join(folder, 'gate')
write(
  'floods',
  `const { existsSync } = await import('node:fs')
   while (!existsSync(${JSON.stringify(GATE)})) await new Promise(resolve => setTimeout(resolve, 20))
   yield { task: 'add', input: { a: 0, b: 0 } }
   await Promise.all(Array.from({ length: 3_000 }, (_, at) => run({ task: 'add', input: { a: at + 1, b: 0 } })))`
)
write(
  'catches',
  `const error = await run({ task: 'add', input: { a: 1 } }).catch(error => error)
   yield { task: 'add', input: { a: 1, b: 1, text: error.code } }`,
  'return units.map(({ input }) => input.text)'
)

write(
  'echoes',
  `for (let a = 0; a < 2_500; a++) yield { task: 'add', input: { a, b: 0 } }`,
  `const inOrder = units.every(({ input, output }, at) => input.a === at && output.at === at)
   return { inOrder, large: 'é"'.repeat(1_500_000), last: units.at(-1).output }`
)
const LISTS = "JSON.parse('[' + '{},'.repeat(500_000) + '{}]')"
write('many-objects', `yield { task: 'add', input: { a: 1, b: 1, many: ${LISTS} } }`)
write('large-input', `yield { task: 'add', input: { a: 1, b: 1, text: 'x'.repeat(4 * 2 ** 20) } }`)

const at = useEngine(async () => ({
  tasksDir: folder,
  jobLimits: { pingsUnanswered: 2, limitMs: 4_000, memoryMb: 64 }
}))

const { register, submit, takeOne, work, fail, ended } = createAdder(at)
beforeAll(register)

const indexOf = ({ units: [unit] }: Taken): number => unit.index

/** A job that is as any other, from its plan to its merge. */
async function runPlain(): Promise<void> {
  const jobId = await submit('plain')
  await work(await takeOne())
  expect((await ended(jobId, 'COMPLETED')).output).toEqual([2])
}

it('a unit that fails while the plan awaits another fails that job alone', async () => {
  const jobId = await submit('kept')
  const taken = [await takeOne(), await takeOne(), await takeOne()]
  const [first, second, third] = taken.sort((a, b) => indexOf(a) - indexOf(b)) as [Taken, Taken, Taken]
  await fail(second)
  await work(third)
  await vi.waitFor(async () => expect((await at.world.units(jobId))[1]?.status).toBe('FAILED'), WAIT)
  await work(first)
  expect((await ended(jobId, 'FAILED')).error).toMatchObject({ code: 'SC_TASK_FAILED', detail: 'it fell over' })
  await runPlain()
})

it('a cancel while the plan holds promises ends that job alone', async () => {
  const jobId = await submit('kept')
  const taken = [await takeOne(), await takeOne(), await takeOne()]
  await at.engine.cancel(jobId)
  await ended(jobId, 'CANCELLED')
  for (const one of taken) await work(one)
  await runPlain()
})

it('process.exit in a plan fails that job alone', async () => {
  const beside = await submit('waits')
  const taken = await takeOne()
  const jobId = await submit('exits')
  const { error } = await ended(jobId, 'FAILED')
  expect(error).toMatchObject({ code: 'SC_JOB_DIED', detail: 'The plan of exits called process.exit(0).' })
  await work(taken)
  await work(await takeOne())
  expect((await ended(beside, 'COMPLETED')).output).toEqual([1, 2])
})

/** Each is tried four times, with pauses: at once, so that it takes no longer than one. */
async function failures(names: string[]): Promise<Array<[code: string | undefined, detail: string | undefined]>> {
  const jobIds = await Promise.all(names.map(name => submit(name)))
  const jobs = await Promise.all(jobIds.map(jobId => ended(jobId, 'FAILED')))
  return jobs.map(({ error }) => [error?.code, error?.detail])
}

it('what nobody awaits or catches, and what never ends, fails its own job', async () => {
  const [stray, timer, idle] = await failures(['stray', 'timer', 'idle'])
  expect(stray).toEqual([
    'SC_TASK_FAILED',
    expect.stringMatching(/^The plan of stray failed\. TypeError: fetch failed/)
  ])
  expect(timer).toEqual(['SC_TASK_FAILED', expect.stringMatching(/^The plan of timer failed\. Error: in a timer/)])
  expect(idle).toEqual(['SC_TASK_TIMEOUT', expect.stringMatching(/^The plan of idle waited for 4 s/)])
  await runPlain()
}, 60_000)

it('a throw that has no text, and an output in a circle, fail their own job with the reason', async () => {
  const failing = failures(['bare', 'circle'])
  await work(await takeOne())
  expect(await failing).toEqual([
    ['SC_TASK_FAILED', 'The plan of bare failed. Error: [Object: null prototype] {}'],
    ['SC_TASK_FAILED', expect.stringMatching(/^The output of circle is not valid: output\.circle: /)]
  ])
}, 60_000)

it('a plan that takes its process down fails alone, and those beside it run again', async () => {
  const beside = await submit('waits')
  const taken = await takeOne()
  const [loops, kills, eats] = await failures(['loops', 'kills', 'eats'])
  expect(loops).toEqual(['SC_JOB_DIED', expect.stringMatching(/it let nothing else run for 2 s/)])
  expect(kills).toEqual(['SC_JOB_DIED', expect.stringMatching(/it ended with SIGKILL/)])
  expect(eats).toEqual(['SC_JOB_DIED', expect.stringMatching(/heap out of memory/)])
  await work(taken)
  await work(await takeOne())
  expect((await ended(beside, 'COMPLETED')).output).toEqual([1, 2])
  await runPlain()
}, 60_000)

it('a plan yields no faster than its units are taken, in order', async () => {
  const jobId = await submit('many')
  await vi.waitFor(async () => expect((await at.world.job(jobId)).planned).toBe(true), WAIT)
  const units = await at.world.units(jobId)
  expect(units.map(({ params }) => (params as { a: number }).a)).toEqual(Array.from({ length: 2_500 }, (_, a) => a))
  await at.engine.cancel(jobId)
})

it('a plan that awaits thousands at once adds them one batch after the other, in its order', async () => {
  rmSync(GATE, { force: true })
  const jobId = await submit('floods')
  const planned = sql<{ id: string }>`select job_id as id from plans where job_id = ${jobId}`
  await vi.waitFor(async () => expect((await planned.execute(at.world.db)).rows).toHaveLength(1), WAIT)
  const waiting = sql<{ count: number }>`
    select count(*)::integer as count from pg_stat_activity where wait_event_type = 'Lock'`
  const countWaiting = async (): Promise<number> => (await waiting.execute(at.world.db)).rows[0]?.count ?? 0
  const counts: number[] = []
  await at.world.db.transaction().execute(async trx => {
    await trx.selectFrom('jobs').select('id').where('id', '=', jobId).forNoKeyUpdate().execute()
    writeFileSync(GATE, '')
    await vi.waitFor(async () => expect(await countWaiting()).toBeGreaterThan(0), WAIT)
    // All connections would be taken by now.
    for (let n = 0; n < 20; n++) {
      counts.push(await countWaiting())
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  })
  expect(new Set(counts)).toEqual(new Set([1]))
  await vi.waitFor(async () => expect(await at.world.units(jobId)).toHaveLength(3_001), WAIT)
  const units = await at.world.units(jobId)
  expect(units.map(({ params }) => (params as { a: number }).a)).toEqual(Array.from({ length: 3_001 }, (_, a) => a))
  // Others are worked on, and awaited, as before.
  await runBeside(jobId)
})

/** Ends a job that is in the way of the queue, and runs another. */
async function runBeside(jobId: string): Promise<void> {
  await at.engine.cancel(jobId)
  await ended(jobId, 'CANCELLED')
  await runPlain()
}

it('a plan is told of a unit that it awaits and that cannot be', async () => {
  const jobId = await submit('catches')
  await work(await takeOne())
  expect((await ended(jobId, 'COMPLETED')).output).toEqual(['SC_TASK_INPUT'])
})

it('a plan may yield more without a pause than one line between the processes may hold', async () => {
  const jobId = await submit('heavy')
  await vi.waitFor(async () => expect((await at.world.job(jobId)).planned).toBe(true), WAIT)
  expect(await at.world.units(jobId)).toHaveLength(70)
  await at.engine.cancel(jobId)
})

it('a unit whose input is too much fails its plan alone', async () => {
  const [objects, large] = await failures(['many-objects', 'large-input'])
  expect(objects).toEqual(['SC_TASK_INPUT', expect.stringMatching(/has more than 500000 objects and lists/)])
  expect(large).toEqual(['SC_TASK_INPUT', expect.stringMatching(/characters of JSON; 3145728 are the most/)])
  await runPlain()
}, 60_000)

it('a merge that throws or never ends fails its job with what happened', async () => {
  const failing = failures(['hangs', 'throws'])
  await work(await takeOne())
  await work(await takeOne())
  const [hangs, throws] = await failing
  expect(hangs).toEqual(['SC_TASK_TIMEOUT', expect.stringMatching(/^The merge of hangs waited for 4 s/)])
  expect(throws).toEqual(['SC_TASK_FAILED', expect.stringMatching(/^The merge of throws failed\. Error: no good/)])
}, 60_000)

it('a merge of more units than are read at once gets them in order, and may answer more than a line holds', async () => {
  const jobId = await submit('echoes')
  await vi.waitFor(async () => expect((await at.world.job(jobId)).planned).toBe(true), WAIT)
  const output = sql<string>`json_build_object('at', index, 'many', array_fill('é"'::text, array[case index when 1 then 100000 else 1 end]))`
  await at.world.db.updateTable('units').set({ status: 'DONE', output }).where('job_id', '=', jobId).execute()
  await at.engine.stop()
  await at.start()
  const { output_ref } = await ended(jobId, 'COMPLETED')
  const result = await json(await at.world.blobs.get(output_ref ?? ''))
  expect(result).toEqual({ inOrder: true, large: 'é"'.repeat(1_500_000), last: { at: 2_499, many: ['é"'] } })
})

it('a merge knows the unit and the input of each outcome', async () => {
  const jobId = await submit('tells')
  await work(await takeOne())
  const [unit] = await at.world.units(jobId)
  const outcome = { unitId: unit?.id, task: 'add', input: { a: 1, b: 1 }, output: 2, error: null }
  expect((await ended(jobId, 'COMPLETED')).output).toEqual([outcome])
})

it('a job whose file is taken away fails with what to do, and goes on where it was once the file is back', async () => {
  const names = () => at.world.ownJobs.list().map(job => job.name)
  write('taken-away', ONE)
  await vi.waitFor(() => expect(names()).toContain('taken-away'), WAIT)
  const jobId = await submit('taken-away')
  const taken = await takeOne()
  rmSync(join(folder, 'taken-away.ts'))
  await vi.waitFor(() => expect(names()).not.toContain('taken-away'), WAIT)
  await work(taken)
  const { error } = await ended(jobId, 'FAILED')
  expect(error).toMatchObject({
    code: 'SC_TASK_UNKNOWN',
    detail: expect.stringMatching(/no job named taken-away: put its file/)
  })
  write('taken-away', ONE)
  await vi.waitFor(() => expect(names()).toContain('taken-away'), WAIT)
  await at.engine.retry(jobId)
  expect((await ended(jobId, 'COMPLETED')).output).toEqual([2])
}, 60_000)

it('a changed file is read without a restart; a broken one leaves the jobs as they were', async () => {
  write('changes', ONE, 'return "first"')
  const known = (name: string) =>
    vi.waitFor(() => expect(at.world.ownJobs.list().map(job => job.name)).toContain(name), WAIT)
  await known('changes')
  const before = await submit('changes')
  await work(await takeOne())
  expect((await ended(before, 'COMPLETED')).output).toBe('first')
  write('changes', ONE, 'return "second"')
  await vi.waitFor(async () => {
    const jobId = await submit('changes')
    await work(await takeOne())
    expect((await ended(jobId, 'COMPLETED')).output).toBe('second')
  }, WAIT)
  writeFileSync(join(folder, 'changes.ts'), 'export default (')
  await vi.waitFor(() => expect(at.world.ownJobs.leftOut()).toMatchObject([{ file: 'changes.ts' }]), WAIT)
  await known('changes')
  const after = await submit('changes')
  await work(await takeOne())
  expect((await ended(after, 'COMPLETED')).output).toBe('second')
})
