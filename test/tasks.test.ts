import { existsSync } from 'node:fs'
import { cp, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { REPO_DIR } from '@sc/shared/config.ts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SAMPLES } from './audio.ts'
import { type Cluster, startCluster, until } from './cluster.ts'

/** The examples of docs/add-a-task.md on a whole cluster: nothing is edited but their own files. */
const EXAMPLES = join(REPO_DIR, 'examples/tasks')

interface Job {
  status: string
  units: { total: number; done: number }
  waitingFor: string | null
}

describe('tasks of one’s own', () => {
  let cluster: Cluster
  let tasksDir: string

  beforeAll(async () => {
    cluster = await startCluster({ workers: 0, tasksDir: true })
    tasksDir = join(cluster.folder, 'tasks')
    for (const file of ['word-count.ts', 'common_words.py']) await cp(join(EXAMPLES, file), join(tasksDir, file))
    await cluster.startWorker('worker-1')
  })
  afterAll(() => cluster?.stop())

  async function post(task: string, input: unknown, more: object = {}): Promise<string> {
    const body = JSON.stringify({ input, ...more })
    const headers = { 'content-type': 'application/json' }
    return (await cluster.json<{ jobId: string }>(`/api/tasks/${task}`, { method: 'POST', headers, body })).jobId
  }

  async function ended(jobId: string): Promise<Job> {
    let job: Job | undefined
    await until(`job ${jobId} has ended`, 60_000, async () => {
      job = await cluster.json<Job>(`/api/jobs/${jobId}`)
      return !['PENDING', 'RUNNING'].includes(job.status)
    })
    return job as Job
  }

  async function known(...names: string[]): Promise<void> {
    await until(`the master knows ${names.join(', ')}`, 20_000, async () => {
      const { items } = await cluster.json<{ items: Array<{ name: string }> }>('/api/tasks')
      return names.every(name => items.some(task => task.name === name))
    })
  }

  it('run in TypeScript and in Python, and say what they say', async () => {
    const counted = await post('word-count', { text: 'one two three' })
    const common = await post('common-words', { text: 'a b a', most: 1 })
    expect((await ended(counted)).status).toBe('COMPLETED')
    expect((await ended(common)).status).toBe('COMPLETED')
    expect(await cluster.json(`/api/jobs/${counted}/result`)).toMatchObject({ output: { words: 3 } })
    expect(await cluster.json(`/api/jobs/${common}/result`)).toMatchObject({
      output: { words: [{ word: 'a', times: 2 }] }
    })
    const { items } = await cluster.json<{ items: object[] }>(`/api/jobs/${common}/logs`)
    expect(items).toMatchObject([{ level: 'info', message: 'Counted', fields: { different: 2 } }])
  })

  it('are checked before they are queued', async () => {
    const headers = { 'content-type': 'application/json' }
    const answer = await cluster.api('/api/tasks/word-count', { method: 'POST', headers, body: '{"input":{}}' })
    expect(answer.status).toBe(422)
    expect(await answer.json()).toMatchObject({ code: 'SC_TASK_INPUT', detail: expect.stringContaining('text') })
  })

  it('make up jobs of several units, planned by the master', async () => {
    await cp(join(EXAMPLES, 'count-lines.ts'), join(tasksDir, 'count-lines.ts'))
    await known('count-lines')
    const lines = Array.from({ length: 40 }, (_, at) => 'word '.repeat(at + 1).trim())
    const jobId = await post('count-lines', { text: lines.join('\n') })
    expect(await ended(jobId)).toMatchObject({ status: 'COMPLETED', units: { total: 40, done: 40 } })
    expect(await cluster.json(`/api/jobs/${jobId}/result`)).toMatchObject({ output: { total: (40 * 41) / 2 } })
  })

  it('take inputs of 10 MB, in both languages and in jobs, also after their worker died', async () => {
    const begun = join(cluster.folder, 'begun')
    await writeFile(
      join(tasksDir, 'large.ts'),
      `import { existsSync, writeFileSync } from 'node:fs'
      import { defineJob, defineTask } from 'semantics-cluster'
      import { z } from 'zod'
      const input = z.object({ text: z.string(), numbers: z.array(z.number()), 2: z.string() })
      export const large = defineTask({ name: 'large', input, output: z.any(), async run({ text, numbers }) {
        const isFirst = !existsSync('${begun}')
        writeFileSync('${begun}', '')
        if (isFirst) await new Promise(() => {})
        return { chars: text.length, sum: numbers.reduce((sum, one) => sum + one, 0) }
      } })
      export const cut = defineJob({ name: 'cut-large', input, output: z.any(), async *plan({ text }) {
        for (let at = 0; at < text.length; at += 3e6) yield { task: 'word-count', input: { text: text.slice(at, at + 10) } }
      }, merge: (units, { text, numbers }) => ({ chars: text.length, numbers: numbers.length, units: units.length }) })`
    )
    await writeFile(
      join(tasksDir, 'large_python.py'),
      [
        'from pydantic import BaseModel, Field',
        'from sc_gpu import Context, task',
        'class Given(BaseModel):',
        '    text: str',
        '    numbers: list[float]',
        '    two: str = Field(alias="2")',
        'class Found(BaseModel):',
        '    chars: int',
        '    sum: float',
        '@task(name="large-python")',
        'def large(given: Given, context: Context) -> Found:',
        '    return Found(chars=len(given.text), sum=sum(given.numbers))',
        ''
      ].join('\n')
    )
    await known('large', 'large-python', 'cut-large')
    const input = {
      text: 'ä水'.repeat(1_500_000),
      numbers: Array.from({ length: 300_000 }, (_, at) => at + 0.5),
      2: ''
    }
    const found = { chars: 3_000_000, sum: 300_000 ** 2 / 2 }
    const large = await post('large', input)
    await until('it runs', 20_000, async () => existsSync(begun))
    await cluster.stopWorker('worker-1', 'SIGKILL')
    const [python, cut] = [await post('large-python', input), await post('cut-large', input)]
    await cluster.startWorker('worker-1')
    for (const jobId of [large, python]) {
      expect((await ended(jobId)).status).toBe('COMPLETED')
      expect(await cluster.json(`/api/jobs/${jobId}/result`)).toMatchObject({ output: found })
    }
    expect((await ended(cut)).status).toBe('COMPLETED')
    const output = { chars: 3_000_000, numbers: 300_000, units: 1 }
    expect(await cluster.json(`/api/jobs/${cut}/result`)).toMatchObject({ output })
    for (const file of ['large.ts', 'large_python.py']) await rm(join(tasksDir, file))
  })

  it('leave the master alone, whatever a plan does to its own process', async () => {
    const job = (name: string, plan: string): string => `
      import { defineJob } from 'semantics-cluster'
      import { z } from 'zod'
      export default defineJob({ name: '${name}', input: z.object({}), output: z.number(),
        async *plan() { ${plan}; yield { task: 'word-count', input: { text: 'a' } } }, merge: units => units.length })`
    await writeFile(
      join(tasksDir, 'computes.ts'),
      job('computes', 'const t = Date.now(); while (Date.now() - t < 6_000);')
    )
    await writeFile(join(tasksDir, 'exits.ts'), job('exits', 'process.exit(0)'))
    await writeFile(join(tasksDir, 'kills.ts'), job('kills', `process.kill(process.pid, 'SIGKILL')`))
    await known('computes', 'exits', 'kills')
    const { pid } = cluster.master
    let slowestMs = 0
    let isOver = false
    const looking = (async () => {
      while (!isOver) {
        const startMs = performance.now()
        expect((await fetch(`${cluster.url}/healthz`)).status).toBe(200)
        slowestMs = Math.max(slowestMs, performance.now() - startMs)
        await new Promise(resolve => setTimeout(resolve, 50))
      }
    })()
    const jobIds = [await post('computes', {}), await post('exits', {}), await post('kills', {})]
    const [computes, exits, kills] = await Promise.all(jobIds.map(ended))
    isOver = true
    await looking
    expect(computes).toMatchObject({ status: 'COMPLETED' })
    expect(exits).toMatchObject({ status: 'FAILED', error: { code: 'SC_JOB_DIED' } })
    expect(kills).toMatchObject({ status: 'FAILED', error: { code: 'SC_JOB_DIED' } })
    expect(slowestMs).toBeLessThan(1_000)
    expect([cluster.master.pid, cluster.master.exitCode]).toEqual([pid, null])
    for (const name of ['computes', 'exits', 'kills']) await rm(join(tasksDir, `${name}.ts`))
    await until('the master has noticed', 20_000, async () => {
      const { items } = await cluster.json<{ items: Array<{ name: string }> }>('/api/tasks')
      return !items.some(({ name }) => name === 'kills')
    })
  })

  it('come and go with their files, without a restart', async () => {
    await rm(join(tasksDir, 'common_words.py'))
    await until('the worker has noticed', 20_000, async () => {
      const { items } = await cluster.json<{ items: Array<{ queues: string[] }> }>('/api/workers')
      return !items.some(({ queues }) => queues.includes('cpu+common-words'))
    })
    const { items } = await cluster.json<{ items: Array<{ name: string }> }>('/api/tasks')
    expect(items.map(({ name }) => name)).toEqual(['count-lines', 'word-count'])
    await cp(join(EXAMPLES, 'common_words.py'), join(tasksDir, 'common_words.py'))
    await until('the task is there again', 20_000, async () => {
      const answer = await cluster.api('/api/tasks/common-words')
      return answer.ok
    })
    expect((await ended(await post('common-words', { text: 'x' }))).status).toBe('COMPLETED')
  })

  it('wait while the only worker is drained, and say so', async () => {
    const { items } = await cluster.json<{ items: Array<{ id: string }> }>('/api/workers')
    const id = items[0]?.id
    await cluster.json(`/api/workers/${id}/drain`, { method: 'POST' })
    await until('the worker is drained', 20_000, async () => {
      const worker = await cluster.json<{ status: string }>(`/api/workers/${id}`)
      return worker.status === 'draining'
    })
    const recording = await cluster.submit(join(SAMPLES, 'jfk.wav'), { reuse: 'false' })
    const urgent = await post('word-count', { text: 'now' }, { priority: 50 })
    await until('the job says what it waits for', 20_000, async () => {
      const job = await cluster.json<Job>(`/api/jobs/${urgent}`)
      return job.waitingFor?.includes('draining') ?? false
    })
    await cluster.json(`/api/workers/${id}/resume`, { method: 'POST' })
    expect((await ended(urgent)).status).toBe('COMPLETED')
    expect((await cluster.finished(recording)).status).toBe('COMPLETED')
  })
})
