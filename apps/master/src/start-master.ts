import { createHash } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { hostname } from 'node:os'
import { openBlobs } from '@sc/shared/blobs/open-blobs.ts'
import type { Config } from '@sc/shared/config.ts'
import { dataDir, removeMasterFile, writeMasterFile } from '@sc/shared/data-dir.ts'
import { ScError } from '@sc/shared/errors.ts'
import { findFfmpeg } from '@sc/shared/ffmpeg-path.ts'
import type { Logger } from '@sc/shared/log.ts'
import { closeRedis, connectRedis, waitForRedis } from '@sc/shared/redis.ts'
import type { Releasers } from '@sc/shared/releasers.ts'
import { startAccess } from './cluster/access.ts'
import { startEnrolling } from './cluster/enrol.ts'
import { httpUrlOf, isEverywhere, placeOf } from './cluster/modes.ts'
import { hasGpuWorker, startPresence } from './cluster/presence.ts'
import { startPublishing } from './cluster/publish.ts'
import { openReach } from './cluster/reach.ts'
import { startRoom } from './cluster/room.ts'
import { slotsOn } from './cluster/slots-for.ts'
import { openTailnet } from './cluster/tailnet.ts'
import { watchKeyExpiry } from './cluster/tailscale/key-expiry.ts'
import { createTaskRegistry } from './cluster/task-registry.ts'
import { connectDatabase } from './database/connect.ts'
import { migrate } from './database/migrate.ts'
import { startEmbeddedPostgres } from './embedded/postgres.ts'
import { type EmbeddedServer, startEmbeddedRedis } from './embedded/redis.ts'
import { buildApp } from './http/build-app.ts'
import { createKeys } from './http/keys.ts'
import { type Listening, listen } from './http/listen.ts'
import { removeStaleUploads } from './http/stale-uploads.ts'
import { toDefinition } from './jobs/defined-job.ts'
import { startEngine } from './jobs/engine.ts'
import { createJobFeed } from './jobs/feed.ts'
import { loadJobs } from './jobs/load-jobs.ts'
import { startRetention } from './jobs/retention.ts'
import { createMetrics } from './metrics.ts'
import { createTranscription } from './transcription/job.ts'
import { openVoiceActivity } from './transcription/voice-activity.ts'
import { VERSION } from './version.ts'

export interface RunningMaster {
  httpUrl: string
  /** One-time link into the web pages. */
  loginUrl: string
}

type StartEmbedded<S> = (options: { dataDir: string; log: Logger; bind: string[] }) => Promise<S>

/** A whole master, from its configuration to its listening port. What was started is on `releasers`, last to first. */
export async function startMaster(config: Config, log: Logger, releasers: Releasers): Promise<RunningMaster> {
  const dir = dataDir(config.dataDir)
  await mkdir(dir.spool, { recursive: true, mode: 0o700 })
  await removeStaleUploads(dir.spool)
  const ffmpegPath = await findFfmpeg()
  const tailnet = openTailnet({ socket: config.tailscaleSocket, log })

  const reach = await openReach({ config, tailnet, log })
  const [redisServer, postgresServer] = await Promise.all([
    config.redisUrl === undefined ? startEmbedded(startEmbeddedRedis, 'redis') : null,
    config.databaseUrl === undefined ? startEmbedded(startEmbeddedPostgres, 'postgres') : null
  ])
  const redisUrl = redisServer?.url ?? (config.redisUrl as string)
  const databaseUrl = postgresServer?.url ?? (config.databaseUrl as string)

  async function startEmbedded<S extends EmbeddedServer>(start: StartEmbedded<S>, name: string): Promise<S> {
    const server = await start({ dataDir: config.dataDir, log: log.child({ part: name }), bind: reach.now().bind })
    releasers.add(name, () => server.stop())
    return server
  }

  await migrate(databaseUrl)
  const onBroken = (error: Error): void => log.warn({ err: error }, 'a PostgreSQL connection broke')
  const db = connectDatabase(databaseUrl, onBroken)
  releasers.add('database', () => db.destroy())
  const dispatchDb = connectDatabase(databaseUrl, onBroken, 2, true)
  releasers.add('database of the dispatcher', () => dispatchDb.destroy())

  const open = (name: string, blocking = false) => {
    const redis = connectRedis(redisUrl, { name: `master-${name}`, blocking, log })
    releasers.add(`redis ${name}`, () => closeRedis(redis))
    return redis
  }
  const redis = open('main')
  await waitForRedis(redis)
  const access = await startAccess({ db, redis, log, isOurs: config.redisUrl === undefined })
  releasers.add('access', () => access.stop())
  const blobs = await openBlobs({ azureConnectionString: config.azureConnectionString, folder: dir.blobs })

  const metrics = createMetrics()
  const feed = await createJobFeed({ databaseUrl, log })
  releasers.add('job feed', () => feed.stop())
  const presence = await startPresence({ db, redis, log })
  releasers.add('presence', () => presence.stop())

  const room = await startRoom({ redis, folder: dir.root, log })
  releasers.add('room', () => room.stop())

  const hasGpu = () => hasGpuWorker(presence.workers())
  const { defaultModel } = config
  const voiceActivity = openVoiceActivity()
  releasers.add('voice activity', () => voiceActivity.close())
  const spoolDir = dir.spool
  const transcription = createTranscription({ blobs, ffmpegPath, spoolDir, voiceActivity, defaultModel, hasGpu })
  const jobs = await loadJobs(config.tasksDir, log)
  const tasks = createTaskRegistry({ db, presence, jobs })
  // The same name after a restart: what this master had read and not applied is read again first.
  const consumer = createHash('sha256').update(`${hostname()}:${config.dataDir}`).digest('hex').slice(0, 16)
  const engine = startEngine({
    db,
    dispatchDb,
    redis,
    blockingRedis: open('outboxes', true),
    blobs,
    feed,
    log,
    metrics,
    consumer,
    workerIds: () => presence.workerIds(),
    slotsOf: queue => slotsOn(presence.workers(), queue),
    onRegistered: access.wake,
    tasks,
    room,
    definitions: [transcription, ...jobs.map(job => toDefinition({ tasks, blobs }, job))]
  })
  releasers.add('engine', () => engine.stop())
  const { retentionDays: days, retentionBytes: bytes } = config
  const retention = startRetention({ db, blobs, log, days, bytes })
  releasers.add('retention', () => retention.stop())
  const enrolling = startEnrolling({ db, redis, blockingRedis: open('enrol', true), log, consumer, access })
  releasers.add('enrolling', () => enrolling.stop())

  const keyExpiry = watchKeyExpiry({ tailnet, log })
  releasers.add('key expiry', () => keyExpiry.stop())

  const keys = await createKeys({ db, dataDir: dir, adminKey: config.adminKey })
  let listening: Listening | undefined
  const place = () => {
    if (!listening) throw new ScError('SC_UNAVAILABLE', 'The master does not listen yet.')
    return placeOf(reach.now(), redisUrl, listening.port, redisServer !== null)
  }
  const app = await buildApp({
    config,
    access,
    place,
    db,
    redis,
    blobs,
    feed,
    presence,
    room,
    tasks,
    tailnet,
    metrics,
    keys,
    ffmpegPath,
    log,
    version: VERSION,
    submit: engine.submit,
    submitTask: engine.submitTask,
    cancel: engine.cancel,
    retry: engine.retry
  })
  const { httpBind } = reach.now()
  listening = await listen(app, httpBind, config.port, releasers)
  const { port, moveTo } = listening
  const localHost = httpBind.some(isEverywhere) ? '127.0.0.1' : (httpBind[0] as string)
  const httpUrl = httpUrlOf(localHost, port)

  const told = () => place().masterUrl
  const publishing = startPublishing({ redis, httpUrl: told, localUrl: httpUrl, version: VERSION, log })
  releasers.add('publishing', () => publishing.stop())
  const following = reach.follow({
    move: async next => {
      await redisServer?.moveTo(next.bind)
      await moveTo(next.httpBind)
    },
    moved: publishing.again
  })
  releasers.add('following the tailnet', () => following.stop())
  const loginUrl = keys.createLoginLink(httpUrl)
  writeMasterFile(dir, { redisUrl, httpUrl, pid: process.pid, loginUrl })
  releasers.add('master file', () => removeMasterFile(dir))
  return { httpUrl, loginUrl }
}
