import { cp, rm } from 'node:fs/promises'
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
    await until(`job ${jobId} has ended`, 30_000, async () => {
      job = await cluster.json<Job>(`/api/jobs/${jobId}`)
      return !['PENDING', 'RUNNING'].includes(job.status)
    })
    return job as Job
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
    // The master reads its jobs at its start.
    await cp(join(EXAMPLES, 'count-lines.ts'), join(tasksDir, 'count-lines.ts'))
    const gone = new Promise(resolve => cluster.master.once('exit', resolve))
    cluster.master.kill('SIGTERM')
    await gone
    await cluster.startMaster()
    const lines = Array.from({ length: 40 }, (_, at) => 'word '.repeat(at + 1).trim())
    const jobId = await post('count-lines', { text: lines.join('\n') })
    expect(await ended(jobId)).toMatchObject({ status: 'COMPLETED', units: { total: 40, done: 40 } })
    expect(await cluster.json(`/api/jobs/${jobId}/result`)).toMatchObject({ output: { total: (40 * 41) / 2 } })
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
