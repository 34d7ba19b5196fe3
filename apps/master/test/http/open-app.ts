import { join } from 'node:path'
import { openFolder } from '@sc/shared/blobs/folder.ts'
import { type Config, parseConfig } from '@sc/shared/config.ts'
import { dataDir, makePrivateFolder } from '@sc/shared/data-dir.ts'
import { findFfmpeg } from '@sc/shared/ffmpeg-path.ts'
import { createLog } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'
import type { Releasers } from '@sc/shared/releasers.ts'
import { type Access, startAccess } from '../../src/cluster/access.ts'
import { startPresence } from '../../src/cluster/presence.ts'
import { type Room, startRoom } from '../../src/cluster/room.ts'
import { openTailnet } from '../../src/cluster/tailnet.ts'
import { createTaskRegistry } from '../../src/cluster/task-registry.ts'
import { connectDatabase } from '../../src/database/connect.ts'
import type { AppDeps } from '../../src/http/app-deps.ts'
import { buildApp } from '../../src/http/build-app.ts'
import { createKeys } from '../../src/http/keys.ts'
import { createAfterEnd } from '../../src/jobs/after-end.ts'
import { createCancel } from '../../src/jobs/cancel.ts'
import { createCheckPool } from '../../src/jobs/check-pool.ts'
import { createDispatch } from '../../src/jobs/dispatch.ts'
import { createJobFeed } from '../../src/jobs/feed.ts'
import { createPace } from '../../src/jobs/pace.ts'
import type { QueuePlan } from '../../src/jobs/plan.ts'
import { createRedo } from '../../src/jobs/redo.ts'
import { createRetry } from '../../src/jobs/retry.ts'
import { createSubmit } from '../../src/jobs/submit.ts'
import { createSubmitTask } from '../../src/jobs/submit-task.ts'
import { createCheckInput } from '../../src/jobs/task-input.ts'
import { createMetrics } from '../../src/metrics.ts'
import { createOpenQueues } from '../../src/queues/open-queues.ts'
import { openTickets } from '../../src/transport/tickets.ts'

export interface Servers {
  databaseUrl: string
  redisUrl: string
  /** The data folder. */
  root: string
}

/** The API on real servers and without an engine: a submitted job stays PENDING until somebody changes its rows. */
export async function openApp(
  servers: Servers,
  releasers: Releasers,
  overrides: Partial<Config> = {},
  roomOptions: { leastFreeBytes?: number } = {}
) {
  const { databaseUrl, redisUrl, root } = servers
  const lines: string[] = []
  const log = createLog('test', 'debug', { write: line => void lines.push(line) })
  const db = connectDatabase(databaseUrl, () => {})
  releasers.add('pool', () => db.destroy())
  const redis = connectRedis(redisUrl, { name: 'test' })
  releasers.add('redis', () => closeRedis(redis))
  await waitForRedis(redis)
  const dir = dataDir(root)
  makePrivateFolder(dir.spool)
  const feed = await createJobFeed({ databaseUrl, log })
  releasers.add('feed', () => feed.stop())
  const presence = await startPresence({ db, redis, log })
  releasers.add('presence', () => presence.stop())
  const access = await startAccess({ db, redis, log, isOurs: true })
  releasers.add('access', () => access.stop())
  const room = await startRoom({ redis, folder: root, log, ...roomOptions })
  releasers.add('room', () => room.stop())
  const queues = createOpenQueues({ redis, log, onWaiting: () => {}, slotsOf: () => 0, takenFrom: () => [] })
  releasers.add('queues', () => queues.close())
  const dispatch = createDispatch({
    db,
    redis,
    queues,
    log,
    onQueued: () => {},
    onQueuedOne: () => {},
    takenFrom: () => [],
    isAwaited: () => false,
    slotsOf: () => 0,
    isKnown: () => false,
    pace: createPace()
  })
  releasers.add('dispatch', () => dispatch.close())
  const checkPool = createCheckPool({ largestInput: overrides.maxInputBytes ?? 16 * 1024 ** 2 })
  releasers.add('check pool', () => checkPool.close())
  const tasks = createTaskRegistry({ db, presence, jobs: () => [] })
  const planned: string[] = []
  const queuePlan: QueuePlan = async ({ id }) => void planned.push(id)
  const metrics = createMetrics()
  const blobs = await openFolder(dir.blobs)
  const afterEnd = createAfterEnd({ db, blobs, metrics, webhooks: { wake: () => {} } })
  const deps: AppDeps & { room: Room; access: Access } = {
    config: { ...parseConfig({ SC_DATA_DIR: root, SC_MODELS_DIR: join(root, 'models') }), ...overrides },
    db,
    redis,
    blobs,
    feed,
    presence,
    access,
    place: () => ({
      mode: 'local',
      brokerUrl: `redis://${new URL(redisUrl).host}`,
      masterUrl: 'http://127.0.0.1:5080'
    }),
    room,
    redisWatch: { trouble: () => null, findings: () => [] },
    engineFindings: () => [],
    tasks,
    checkInput: createCheckInput(checkPool, tasks),
    checkPool,
    tailnet: openTailnet({ socket: join(root, 'tailscaled.sock'), log }),
    metrics,
    tickets: await openTickets(db),
    keys: await createKeys({ db, dataDir: dir, adminKey: undefined }),
    ffmpegPath: await findFfmpeg(),
    log,
    version: '0.0.0-test',
    submit: createSubmit({ db, queuePlan }),
    submitTask: createSubmitTask({ db, requestDb: db, blobs, room, dispatch, queuePlan, isAwaited: () => false }),
    cancel: createCancel({ db, dispatch, redis, onEnded: async () => {} }),
    retry: createRetry({ db, dispatch, queuePlan, onEnded: afterEnd }),
    redo: createRedo({ db, dispatch, redis, queuePlan, onEnded: afterEnd })
  }
  const app = await buildApp(deps)
  releasers.add('app', () => app.close())
  return {
    app,
    deps,
    dir,
    /** Ids of jobs whose plan was queued. */
    planned,
    /** Every line that was logged. */
    lines,
    /** Starts listening; its address. */
    listen: () => app.listen({ host: '127.0.0.1', port: 0 })
  }
}
