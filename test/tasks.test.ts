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
