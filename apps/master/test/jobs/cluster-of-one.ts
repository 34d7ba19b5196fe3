import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openFolder } from '@sc/shared/blobs/folder.ts'
import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { createLog, type Logger } from '@sc/shared/log.ts'
import { connectRedis } from '@sc/shared/redis.ts'
import { createReleasers } from '@sc/shared/releasers.ts'
import { startRoom } from '../../src/cluster/room.ts'
import { createTaskRegistry } from '../../src/cluster/task-registry.ts'
import { connectDatabase } from '../../src/database/connect.ts'
import { migrate } from '../../src/database/migrate.ts'
import type { JobRow, UnitRow } from '../../src/database/schema.ts'
import { startEmbeddedPostgres } from '../../src/embedded/postgres.ts'
import { startEmbeddedRedis } from '../../src/embedded/redis.ts'
import { createCheckPool } from '../../src/jobs/check-pool.ts'
import { type JobDefinition, withBuiltIn } from '../../src/jobs/definition.ts'
import { startEngine } from '../../src/jobs/engine.ts'
import { createJobFeed } from '../../src/jobs/feed.ts'
import { createCheckInput, createCheckText } from '../../src/jobs/task-input.ts'
import { createMetrics } from '../../src/metrics.ts'
import { createOwnDefinitions } from '../../src/own-jobs/own-definitions.ts'
import { type OwnJobsOptions, startOwnJobs } from '../../src/own-jobs/own-jobs.ts'
import { closeQueue, openQueue, type UnitQueue } from '../../src/queues/queues.ts'
import { openTickets } from '../../src/transport/tickets.ts'
import type { Outbound } from '../../src/webhooks/post-webhook.ts'
import { createTestWorker, type Said, type Taken, type TestWorker } from './test-worker.ts'

/**
 * The engine with real servers, a job kind of our own (`count`: units 0 … n-1, each to be answered with its square), and
 * workers that are played by the test: they ask, and answer what they are given, by a real outbox and a real inbox.
 */
export interface ClusterOptions {
  /** With jobs of the user's own. */
  tasksDir?: string
  /** Of these. */
  jobLimits?: Omit<OwnJobsOptions, 'tasksDir' | 'log'>
  log?: Logger
  /** Further kinds of jobs. */
  definitions?: (blobs: BlobStore) => JobDefinition[]
  /** Which addresses webhooks may call. */
  outbound?: Outbound
}

export async function startClusterOfOne({
  tasksDir,
  jobLimits = {},
  log = createLog('test', 'silent'),
  definitions = () => [],
  outbound
}: ClusterOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'sc-engine-'))
  const releasers = createReleasers()
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
  const ids = ['w-1', 'w-2']
  await db
    .insertInto('workers')
    .values(ids.map(id => ({ id, name: id, hostname: 'desk', queues: null })))
    .execute()
  const tickets = await openTickets(db)
  /** What workers wrote that none writes. */
  const refused: Array<{ workerId: string; reason: string }> = []
  const workers = new Map<string, TestWorker>(ids.map(id => [id, createTestWorker(redis, tickets, id)]))
  const workerOf = (id: string): TestWorker => workers.get(id) as TestWorker
  releasers.add('workers', async () => workers.forEach(worker => void worker.stop()))
  const ownJobs = await startOwnJobs({ tasksDir, log, ...jobLimits })
  releasers.add('own jobs', () => ownJobs.stop())
  const tasks = createTaskRegistry({ db, presence: { workers: () => [] }, jobs: ownJobs.list })

  const checkPool = createCheckPool()
  releasers.add('check pool', () => checkPool.close())
  const checkInput = createCheckInput(checkPool, tasks)
  const checkText = createCheckText(checkPool, tasks)

  const openRoom = async (leastFreeBytes = 0) => {
    const room = await startRoom({ redis, folder, log, leastFreeBytes })
    releasers.add('room', () => room.stop())
    return room
  }
  const withRoom = await openRoom()

  const connect = (name: string) => {
    const connection = connectRedis(redisServer.url, { name })
    releasers.add(`connection ${name}`, () => connection.disconnect())
    return connection
  }
  const startMaster = async (name = 'one', room = withRoom) => {
    const engine = await startEngine({
      db,
      dispatchDb,
      requestDb: dispatchDb,
      redis,
      queueRedis: connect(`queues-${name}`),
      blockingRedis: connectRedis(redisServer.url, { name: `outboxes-${name}`, blocking: true }),
      subscriber: connect(`queued-${name}`),
      blobs,
      feed,
      log,
      metrics: createMetrics(),
      tickets,
      offences: { record: (workerId, reason) => void refused.push({ workerId, reason }) },
      owner: name,
      workerIds: async () => ids,
      isPresent: id => !absent.has(id),
      address: () => ({ httpUrl: 'http://m', localUrl: 'http://m', version: '0.0.0' }),
      apiUrl: () => 'http://m',
      ...(outbound && { outbound }),
      graceMs: 500,
      lookEveryMs: 250,
      slotsOf: queue => slots.get(queue) ?? 2,
      isKnown: () => false,
      tasks,
      checkInput,
      room,
      definitions: withBuiltIn(
        [COUNT, ...definitions(blobs)],
        createOwnDefinitions({ ownJobs, tasks, checkText, blobs })
      )
    })
    engine.startSchedules()
    return engine
  }

  /** Workers that show themselves nowhere. */
  const absent = new Set<string>()
  /** Of queues that have others than two. */
  const slots = new Map<string, number>()
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
    folder,
    db,
    requestDb: dispatchDb,
    blobs,
    tasks,
    ownJobs,
    redis,
    redisServer,
    feed,
    log,
    slots,
    absent,
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
    /** Takes an entry as a slot of a worker would; null when none waits. */
    take: (name = 'cpu', workerId = 'w-1', waitMs?: number): Promise<Taken | null> =>
      workerOf(workerId).take(name, waitMs),
    /** Takes the entry that comes next. */
    takeOne: async (name = 'cpu', workerId = 'w-1'): Promise<Taken> => {
      const taken = await workerOf(workerId).take(name, 15_000)
      if (!taken) throw new Error(`nothing waits in ${name}`)
      return taken
    },
    worker: workerOf,
    refused,
    queueOf,
    say: (workerId: string, message: Said): Promise<void> => workerOf(workerId).say(message)
  }
}

export type ClusterOfOne = Awaited<ReturnType<typeof startClusterOfOne>>

interface CountInput {
  units: number
  fail?: boolean
  waits?: boolean
  seconds?: number
  queue?: string
  deadlineMs?: number
  /** Units without files. */
  bare?: boolean
  /** Units that must not run twice. */
  once?: boolean
}

const COUNT: JobDefinition = {
  task: 'count',
  async *plan(job, context) {
    const {
      units,
      fail,
      waits,
      seconds = 1,
      queue = 'cpu',
      bare,
      once = false,
      deadlineMs = 60_000
    } = job.input as unknown as CountInput
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
      deadlineMs,
      retryCrashes: !once
    })
    if (waits) await context.learned({ model: String(await context.run(draft(0, 'ask'))) })
    for (let index = 0; index < units; index++) yield draft(index)
    if (fail) throw new Error('the plan stops here')
    return { counted: units }
  },
  async merge(_job, toMerge) {
    const units = await toMerge.all()
    const failed = units.filter(unit => unit.status !== 'DONE')
    return {
      status: failed.length === 0 ? 'COMPLETED' : failed.length < units.length ? 'PARTIAL' : 'FAILED',
      error: failed.length === units.length ? (failed[0]?.error ?? null) : null,
      gaps: failed.map(({ index, error }) => ({ start: index, end: index + 1, error: error as never })),
      language: null
    }
  }
}
