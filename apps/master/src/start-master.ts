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
import { checkSettings } from './check-settings.ts'
import { startAccess } from './cluster/access.ts'
import { watchConnections } from './cluster/connections.ts'
import { startEnrolling } from './cluster/enrol.ts'
import { endJoinCode } from './cluster/join-codes.ts'
import { httpUrlOf, isEverywhere, placeOf } from './cluster/modes.ts'
import { createOffences, FLOOD, GRAVE } from './cluster/offences.ts'
import { areOldWorkersAwaited } from './cluster/old-workers.ts'
import { startPresence } from './cluster/presence.ts'
import { startPublishing } from './cluster/publish.ts'
import { openReach } from './cluster/reach.ts'
import { startRedisWatch } from './cluster/redis-watch.ts'
import { startRoom } from './cluster/room.ts'
import { hasGpuFor, slotsOn } from './cluster/slots-for.ts'
import { openTailnet } from './cluster/tailnet.ts'
import { watchKeyExpiry } from './cluster/tailscale/key-expiry.ts'
import { createTaskRegistry } from './cluster/task-registry.ts'
import { connectDatabase, firstConnectionError } from './database/connect.ts'
import { migrate } from './database/migrate.ts'
import { startEmbeddedPostgres } from './embedded/postgres.ts'
import { type EmbeddedServer, startEmbeddedRedis } from './embedded/redis.ts'
import { buildApp } from './http/build-app.ts'
import { createKeys } from './http/keys.ts'
import { type Listening, listen } from './http/listen.ts'
import { removeStaleUploads } from './http/stale-uploads.ts'
import { createCheckPool } from './jobs/check-pool.ts'
import { withBuiltIn } from './jobs/definition.ts'
import { startEngine } from './jobs/engine.ts'
import { createJobFeed } from './jobs/feed.ts'
import { startRetention } from './jobs/retention.ts'
import { createCheckInput, createCheckText } from './jobs/task-input.ts'
import { createMetrics } from './metrics.ts'
import { createOwnDefinitions } from './own-jobs/own-definitions.ts'
import { startOwnJobs } from './own-jobs/own-jobs.ts'
import { createStartStep, LONG_STEP, STEP_LIMIT_MS } from './start-step.ts'
import { createTranscription } from './transcription/job.ts'
import { openVoiceActivity } from './transcription/voice-activity.ts'
import { openTickets } from './transport/tickets.ts'
import { VERSION } from './version.ts'

export interface RunningMaster {
  httpUrl: string
  /** One-time link into the web pages. */
  loginUrl: string
}

/** What a request asks for takes a millisecond. */
const REQUEST_CONNECTIONS = 4

type StartEmbedded<S> = (options: { dataDir: string; log: Logger; bind: string[]; signal: AbortSignal }) => Promise<S>

/**
 * A whole master, from its configuration to its listening port. What was started is on `releasers`, last to first.
 * SC_UNAVAILABLE names a step that takes longer than `stepLimitMs`. `signal`: the start is given up.
 */
export async function startMaster(
  config: Config,
  log: Logger,
  releasers: Releasers,
  signal: AbortSignal,
  stepLimitMs = STEP_LIMIT_MS
): Promise<RunningMaster> {
  const step = createStartStep(stepLimitMs)
  const dir = dataDir(config.dataDir)
  const tailnet = openTailnet({ socket: config.tailscaleSocket, log })
  const reach = await step('looking for the addresses of this machine', openReach({ config, tailnet, log }))
  await step('looking at the settings', checkSettings(config, reach.now().httpBind, signal))
  await mkdir(dir.spool, { recursive: true, mode: 0o700 })
  await step('removing old uploads', removeStaleUploads(dir.spool))
  const ffmpegPath = await step('looking for ffmpeg', findFfmpeg())
  // Each ends within its own limit; side by side, so that both stay within the master's.
  const embedded: Promise<EmbeddedServer>[] = []
  const stopEmbedded = async (starting: Promise<EmbeddedServer>) => await (await starting.catch(() => null))?.stop()
  releasers.add('embedded servers', () => Promise.all(embedded.map(stopEmbedded)), { endsByItself: true })
  const [redisServer, postgresServer] = await Promise.all([
    config.redisUrl === undefined ? startEmbedded(startEmbeddedRedis, 'redis') : null,
    config.databaseUrl === undefined ? startEmbedded(startEmbeddedPostgres, 'postgres') : null
  ])
  const redisUrl = redisServer?.url ?? (config.redisUrl as string)
  const databaseUrl = postgresServer?.masterUrl ?? (config.databaseUrl as string)

  async function startEmbedded<S extends EmbeddedServer>(start: StartEmbedded<S>, name: string): Promise<S> {
    const { dataDir } = config
    const server = start({ dataDir, log: log.child({ part: name }), bind: reach.now().bind, signal })
    embedded.push(server)
    return await step(`starting ${name}`, server, LONG_STEP)
  }

  const migrated = migrate(databaseUrl).catch(error => Promise.reject(firstConnectionError(databaseUrl, error)))
  await step('migrating the database', migrated, LONG_STEP)
  // Of a master that stops, its own PostgreSQL may be the first to end.
  const onBroken = (error: Error): void => {
    if (!signal.aborted) log.warn({ err: error }, 'a PostgreSQL connection broke')
  }
  const db = connectDatabase(databaseUrl, onBroken)
  releasers.add('database', () => db.destroy())
  if (redisServer && (await step('looking for workers of before', areOldWorkersAwaited(db)))) redisServer.allowHello()
  const dispatchDb = connectDatabase(databaseUrl, onBroken, 2, true)
  releasers.add('database of the dispatcher', () => dispatchDb.destroy())
  const requestDb = connectDatabase(databaseUrl, onBroken, REQUEST_CONNECTIONS, true)
  releasers.add('database of requests', () => requestDb.destroy())

  const open = (name: string, blocking = false) => {
    const redis = connectRedis(redisServer?.masterUrl ?? redisUrl, { name: `master-${name}`, blocking, log })
    releasers.add(`redis ${name}`, () => closeRedis(redis))
    return redis
  }
  const redisWatch = startRedisWatch({ redisUrl, log, restart: redisServer?.restart })
  releasers.add('redis watch', () => redisWatch.stop())
  const redis = open('main')
  await step('connecting to Redis', waitForRedis(redis))
  const access = await step(
    'writing the users of Redis',
    startAccess({ db, redis, log, isOurs: config.redisUrl === undefined })
  )
  releasers.add('access', () => access.stop())
  const { azureConnectionString } = config
  const blobs = await step('opening the blob store', openBlobs({ azureConnectionString, folder: dir.blobs }))

  const metrics = createMetrics()
  const feed = await step('listening to the database', createJobFeed({ databaseUrl, log }))
  releasers.add('job feed', () => feed.stop())
  const offences = createOffences({ db, log, metrics, access })
  releasers.add('offences', () => offences.stop())
  const onRefused = (workerId: string, reason: string): void => offences.record(workerId, reason, GRAVE)
  const onFlood = (workerId: string, reason: string): void => offences.record(workerId, reason, FLOOD)
  const connections = watchConnections({
    redis,
    log,
    isOurs: config.redisUrl === undefined,
    onFlood,
    onCodeFlood: codeId => endJoinCode(db, codeId)
  })
  releasers.add('connections', () => connections.stop())
  const presence = await step('looking which workers are there', startPresence({ db, redis, log, onRefused }))
  releasers.add('presence', () => presence.stop())

  const room = await step('looking at the disk', startRoom({ redis, folder: dir.root, log }))
  releasers.add('room', () => room.stop())

  const hasGpu = () => hasGpuFor(presence.workers())
  const { defaultModel } = config
  const voiceActivity = openVoiceActivity()
  releasers.add('voice activity', () => voiceActivity.close())
  const spoolDir = dir.spool
  const transcription = createTranscription({ blobs, ffmpegPath, spoolDir, voiceActivity, defaultModel, hasGpu })
  const { tasksDir } = config
  const ownJobs = await step(
    'loading jobs of the tasks folder',
    startOwnJobs({ tasksDir, log: log.child({ part: 'jobs' }) })
  )
  releasers.add('jobs of the tasks folder', () => ownJobs.stop())
  const tasks = createTaskRegistry({ db, presence, jobs: ownJobs.list })
  const checkPool = createCheckPool({ largestInput: config.maxInputBytes })
  releasers.add('check pool', () => checkPool.close())
  const checkInput = createCheckInput(checkPool, tasks)
  const checkText = createCheckText(checkPool, tasks)
  // The same name after a restart: what this master had read and not applied is read again first.
  const consumer = createHash('sha256').update(`${hostname()}:${config.dataDir}`).digest('hex').slice(0, 16)
  let httpUrl: string | undefined
  const address = () => {
    if (httpUrl === undefined) return undefined
    return { httpUrl: place().masterUrl, localUrl: httpUrl, version: VERSION }
  }
  const apiUrl = () => httpUrl && (config.masterUrl ?? place().masterUrl)
  const tickets = await step('opening the tickets', openTickets(db))
  const starting = startEngine({
    db,
    dispatchDb,
    requestDb,
    redis,
    queueRedis: open('queues'),
    blockingRedis: open('outboxes', true),
    subscriber: open('queued'),
    blobs,
    feed,
    log,
    metrics,
    tickets,
    offences,
    owner: consumer,
    workerIds: () => presence.workerIds(),
    isPresent: presence.isPresent,
    address,
    apiUrl,
    slotsOf: queue => (presence.isKnown(queue) ? slotsOn(presence.workers(), queue) : 0),
    isKnown: presence.isKnown,
    tasks,
    checkInput,
    room,
    definitions: withBuiltIn([transcription], createOwnDefinitions({ ownJobs, tasks, checkText, blobs }))
  })
  const engine = await step('starting the engine', starting)
  releasers.add('engine', () => engine.stop())
  const { retentionDays: days, retentionBytes: bytes } = config
  const retention = startRetention({ db, blobs, log, days, bytes })
  releasers.add('retention', () => retention.stop())
  const enrolling = startEnrolling({ db, redis, log, access })
  releasers.add('enrolling', () => enrolling.stop())

  const keyExpiry = watchKeyExpiry({ tailnet, log })
  releasers.add('key expiry', () => keyExpiry.stop())

  const keys = await step(
    'reading the admin key',
    createKeys({ db: requestDb, dataDir: dir, adminKey: config.adminKey })
  )
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
    redisWatch,
    engineFindings: engine.findings,
    tasks,
    checkInput,
    checkPool,
    tailnet,
    metrics,
    tickets,
    keys,
    ffmpegPath,
    log,
    version: VERSION,
    submit: engine.submit,
    submitTask: engine.submitTask,
    cancel: engine.cancel,
    retry: engine.retry,
    redo: engine.redo
  })
  const { httpBind } = reach.now()
  listening = await step('listening', listen(app, httpBind, config.port, releasers))
  // What is due may cost something: nothing of it comes before the master answers.
  engine.startSchedules()
  const { port, moveTo } = listening
  const localHost = httpBind.some(isEverywhere) ? '127.0.0.1' : (httpBind[0] as string)
  httpUrl = httpUrlOf(localHost, port)
  engine.workersChanged()

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
