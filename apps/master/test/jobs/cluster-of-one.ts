import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openFolder } from '@sc/shared/blobs/folder.ts'
import type { DefinedJob } from '@sc/shared/define-job.ts'
import { createLog } from '@sc/shared/log.ts'
import { closeQueue, openQueue, release, type TakenEntry, takeNext, type UnitQueue } from '@sc/shared/queues.ts'
import { connectRedis } from '@sc/shared/redis.ts'
import { outboxKey } from '@sc/shared/redis-keys.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import type { OutboxMessage } from '@sc/shared/unit.ts'
import { startRoom } from '../../src/cluster/room.ts'
import { createTaskRegistry } from '../../src/cluster/task-registry.ts'
import { connectDatabase } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import type { JobRow, UnitRow } from '../../src/database/schema.ts'
import { startEmbeddedPostgres } from '../../src/embedded/postgres.ts'
import { startEmbeddedRedis } from '../../src/embedded/redis.ts'
import { toDefinition } from '../../src/jobs/defined-job.ts'
import type { JobDefinition } from '../../src/jobs/definition.ts'
import { startEngine } from '../../src/jobs/engine.ts'
import { createJobFeed } from '../../src/jobs/feed.ts'
import { createMetrics } from '../../src/metrics.ts'

/**
 * The engine with real servers, a job kind of our own (`count`: units 0 … n-1, each to be answered with its square), and
 * a worker that is played by the test: it takes units from the real queue and writes to a real outbox.
 */
export async function startClusterOfOne({ jobs = [] }: { jobs?: DefinedJob[] } = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'sc-engine-'))
  const releasers = createReleasers()
  const log = createLog('test', 'silent')
  const [postgres, redisServer] = await Promise.all([
    startEmbeddedPostgres({ dataDir: folder, log }),
    startEmbeddedRedis({ dataDir: folder, log })
  ])
  releasers.add('folder', () => rm(folder, { recursive: true, force: true }))
  releasers.add('postgres', () => postgres.stop())
  releasers.add('redis', () => redisServer.stop())
  await migrate(postgres.url)
  const db = connectDatabase(postgres.url, () => {})
  const dispatchDb = connectDatabase(postgres.url, () => {}, 1, true)
  releasers.add('database', () => Promise.all([db.destroy(), dispatchDb.destroy()]))
  const redis = connectRedis(redisServer.url, { name: 'test' })
  releasers.add('connection', () => redis.disconnect())
  const blobs = await openFolder(join(folder, 'blobs'))
  const feed = await createJobFeed({ databaseUrl: postgres.url, log })
  releasers.add('feed', () => feed.stop())
  const workers = ['w-1', 'w-2']
  const tasks = createTaskRegistry({ db, presence: { workers: () => [] }, jobs })

  const openRoom = async (leastFreeBytes = 0) => {
    const room = await startRoom({ redis, folder, log, leastFreeBytes })
    releasers.add('room', () => room.stop())
    return room
  }
  const withRoom = await openRoom()

  const startMaster = (name = 'one', room = withRoom) =>
    startEngine({
      db,
      dispatchDb,
      redis,
      blockingRedis: connectRedis(redisServer.url, { name: `outboxes-${name}`, blocking: true }),
      blobs,
      feed,
      log,
      metrics: createMetrics(),
      consumer: name,
      workerIds: async () => workers,
      slotsOf: () => 2,
      tasks,
      room,
      definitions: [COUNT, ...jobs.map(job => toDefinition({ tasks, blobs }, job))]
    })

  const queues = new Map<string, UnitQueue>()
  const queueOf = (name: string): UnitQueue => {
    const queue = queues.get(name) ?? openQueue(redis, name)
    queues.set(name, queue)
    return queue
  }
  releasers.add('queues', async () => {
    for (const queue of queues.values()) await closeQueue(queue)
  })

  return {
    db,
    blobs,
    tasks,
    redis,
    redisServer,
    feed,
    log,
    startMaster,
    openRoom,
    release: () => releasers.release(),
    /** A job whose plan counts to `units`. */
    insertJob: async (input: Record<string, unknown>, { priority = 0, keyId = 'test' } = {}): Promise<string> => {
      const id = randomUUID()
      await db
        .insertInto('jobs')
        .values({ id, task: 'count', input: JSON.stringify(input), key_id: keyId, priority })
        .execute()
      return id
    },
    job: (id: string): Promise<JobRow> =>
      db.selectFrom('jobs').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
    units: (jobId: string): Promise<UnitRow[]> =>
      db.selectFrom('units').selectAll().where('job_id', '=', jobId).orderBy('index').execute(),
    /** Takes a unit as a slot would; null when none waits. */
    take: (name = 'cpu'): Promise<TakenEntry | null> => takeNext([queueOf(name)], randomUUID()),
    queueOf,
    say: async (workerId: string, message: OutboxMessage): Promise<void> => {
      await redis.xadd(outboxKey(workerId), '*', 'm', JSON.stringify([message]))
    },
    letGo: release
  }
}

export type ClusterOfOne = Awaited<ReturnType<typeof startClusterOfOne>>

interface CountInput {
  units: number
  fail?: boolean
  waits?: boolean
  seconds?: number
  queue?: string
  /** Units without files. */
  bare?: boolean
}

const COUNT: JobDefinition = {
  task: 'count',
  async *plan(job, context) {
    const { units, fail, waits, seconds = 1, queue = 'cpu', bare } = job.input as unknown as CountInput
    const input = await context.store('input.txt', Buffer.from(`input ${job.input.salt ?? job.id}`))
    const draft = (index: number, task = 'square') => ({
      task,
      index,
      queue,
      input: bare ? null : input,
      params: { index, salt: job.input.salt ?? job.id },
      blobs: {},
      span: {},
      seconds,
      deadlineMs: 60_000
    })
    if (waits) await context.learned({ model: String(await context.run(draft(0, 'ask'))) })
    for (let index = 0; index < units; index++) yield draft(index)
    if (fail) throw new Error('the plan stops here')
    return { counted: units }
  },
  async merge(_job, units) {
    const failed = units.filter(unit => unit.status !== 'DONE')
    return {
      status: failed.length === 0 ? 'COMPLETED' : failed.length < units.length ? 'PARTIAL' : 'FAILED',
      error: failed.length === units.length ? (failed[0]?.error ?? null) : null,
      gaps: failed.map(({ index, error }) => ({ start: index, end: index + 1, error: error as never })),
      language: null
    }
  }
}
