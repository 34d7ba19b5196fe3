import type { LackingTask, TaskDescription } from '@sc/shared/python-protocol.ts'
import { describe, expect, it } from 'vitest'
import { forgetLeftTasks } from '../../src/cluster/task-claims.ts'
import { useEngine } from './use-engine.ts'

const NAP: TaskDescription = {
  name: 'nap',
  description: '',
  gpu: false,
  vramGb: 0,
  features: [],
  builtIn: false,
  inputSchema: {},
  outputSchema: {}
}
const OTHER = { ...NAP, gpu: true }
const WAIT = { timeout: 8_000 }

describe('what workers register', () => {
  const at = useEngine()
  const rowOf = (id: string) =>
    at.world.db.selectFrom('workers').selectAll().where('id', '=', id).executeTakeFirstOrThrow()
  const queuesOf = async (id: string) => (await rowOf(id)).queues
  const refusedTasks = async () => (await at.world.tasks.refused()).map(({ worker, name }) => `${worker} ${name}`)

  /** Waits until it is kept. */
  async function register(id: string, ...registrations: TaskDescription[][]): Promise<void> {
    await at.world.worker(id).begin()
    const before = (await rowOf(id)).tasks_at
    for (const tasks of registrations)
      await at.world.say(id, { type: 'registered', tasks, classes: ['cpu', 'gpu', 'no class'] })
    await expect.poll(async () => (await rowOf(id)).tasks_at, WAIT).not.toEqual(before)
    const last = registrations.at(-1)
    await expect
      .poll(async () => (await rowOf(id)).tasks.map(({ name }) => name), WAIT)
      .toEqual(last?.filter(({ builtIn }) => !builtIn).map(({ name }) => name))
  }

  /** As of now. */
  const known = async (name: string) => (await at.world.tasks.list()).find(task => task.name === name)

  async function lack(id: string, ...lacking: LackingTask[]): Promise<void> {
    await at.world.worker(id).begin()
    const before = (await rowOf(id)).tasks_at
    await at.world.say(id, { type: 'registered', tasks: [], lacking, classes: ['cpu', 'gpu'] })
    await expect.poll(async () => (await rowOf(id)).tasks_at, WAIT).not.toEqual(before)
  }

  it('gives no units of a task to one that defines it otherwise, until it does not or the first changes it', async () => {
    await register('w-1', [NAP])
    expect(await queuesOf('w-1')).toEqual(['cpu', 'cpu+nap', 'gpu'])
    await register('w-2', [OTHER])
    expect(await queuesOf('w-2')).toEqual(['cpu', 'gpu'])
    expect(await refusedTasks()).toEqual(['w-2 nap'])
    await register('w-2', [NAP])
    expect(await queuesOf('w-2')).toEqual(['cpu', 'cpu+nap', 'gpu'])
    // A change by the first counts at once, and for the other once it has it.
    await register('w-1', [OTHER])
    expect(await queuesOf('w-1')).toEqual(['cpu', 'gpu', 'gpu+nap'])
    expect(await queuesOf('w-2')).toEqual(['cpu', 'gpu'])
    await register('w-2', [OTHER])
    expect(await queuesOf('w-2')).toEqual(['cpu', 'gpu', 'gpu+nap'])
  })

  it('keeps a name for a worker that starts anew, and not for long for one that has left the task', async () => {
    await register('w-1', [NAP])
    await register('w-2', [OTHER])
    await register('w-1', [])
    expect(await queuesOf('w-2')).toEqual(['cpu', 'gpu'])
    await register('w-1', [NAP])
    expect(await queuesOf('w-1')).toEqual(['cpu', 'cpu+nap', 'gpu'])
    expect((await rowOf('w-1')).tasks_left).toEqual({})
    await register('w-1', [])
    const left = JSON.stringify({ nap: { leftMs: Date.now() - 3_600_000, digest: 'x' } })
    await at.world.db.updateTable('workers').set({ tasks_left: left }).where('id', '=', 'w-1').execute()
    expect(await forgetLeftTasks(at.world.db)).toEqual(['w-2'])
    expect(await queuesOf('w-2')).toEqual(['cpu', 'gpu', 'gpu+nap'])
    // Whoever comes back then comes after.
    await register('w-1', [NAP])
    expect(await queuesOf('w-1')).toEqual(['cpu', 'gpu'])
  })

  it('shows a task that no worker can run, with what each lacks, and gives no right to its queues', async () => {
    await lack('w-1', { ...OTHER, name: 'hop', lack: 'it needs a GPU\u001b[2J with 20 GB' })
    expect(await queuesOf('w-1')).toEqual(['cpu', 'gpu'])
    expect(await known('hop')).toMatchObject({
      queue: 'gpu+hop',
      workers: [],
      lacking: [{ id: 'w-1', name: 'w-1', lack: 'it needs a GPU [2J with 20 GB' }]
    })
    // Who can run it defines it, whoever had it first, and may be given it from then on.
    await register('w-2', [{ ...NAP, name: 'hop' }])
    expect(await queuesOf('w-2')).toEqual(['cpu', 'cpu+hop', 'gpu'])
    expect(await known('hop')).toMatchObject({
      queue: 'cpu+hop',
      workers: [{ id: 'w-2' }],
      lacking: [{ id: 'w-1' }],
      versions: 1
    })
    expect(await refusedTasks()).toEqual([])
    // Able by now, it comes after those who were.
    await register('w-1', [{ ...OTHER, name: 'hop' }])
    expect(await queuesOf('w-1')).toEqual(['cpu', 'gpu'])
    expect(await refusedTasks()).toEqual(['w-1 hop'])
  })

  it('keeps the name of a task for the worker that has just lost what it needs', async () => {
    await register('w-1', [{ ...NAP, name: 'skip' }])
    await lack('w-1', { ...NAP, name: 'skip', lack: 'it needs a local LLM server, and none answers' })
    expect(await known('skip')).toMatchObject({ workers: [], lacking: [{ id: 'w-1' }] })
    await register('w-2', [{ ...OTHER, name: 'skip' }])
    expect(await queuesOf('w-2')).toEqual(['cpu', 'gpu'])
    await register('w-1', [{ ...NAP, name: 'skip' }])
    expect(await queuesOf('w-1')).toEqual(['cpu', 'cpu+skip', 'gpu'])
  })

  it('bounds what workers lack as what they offer', async () => {
    const large = { ...NAP, inputSchema: { description: 'x'.repeat(60_000) }, lack: 'it needs a GPU' }
    const many = Array.from({ length: 6 }, (_, n) => ({ ...large, name: `nap-${n}` }))
    await lack('w-1', ...many)
    const { tasks, refused_tasks } = await rowOf('w-1')
    expect([tasks.length, refused_tasks.length]).toEqual([5, 1])
  })

  it('is refused where it is said to be built in, and is not', async () => {
    await register('w-1', [{ ...NAP, name: 'new-one', builtIn: true }])
    expect((await rowOf('w-1')).refused_tasks).toEqual([
      { name: 'new-one', reason: expect.stringContaining('every worker has') }
    ])
    expect(await at.world.tasks.find('new-one')).toBeUndefined()
  })
})
