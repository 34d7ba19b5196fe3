import type { IncomingMessage, ServerResponse } from 'node:http'
import type { BlobStore } from '@sc/shared/blobs/store.ts'
import type { Config } from '@sc/shared/config.ts'
import type { Finding } from '@sc/shared/doctor/finding.ts'
import type { FastifyBaseLogger, FastifyInstance, RawServerDefault } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Access } from '../cluster/access.ts'
import type { Place } from '../cluster/join-command.ts'
import type { WorkerPresence } from '../cluster/presence.ts'
import type { RedisWatch } from '../cluster/redis-watch.ts'
import type { Room } from '../cluster/room.ts'
import type { Tailnet } from '../cluster/tailnet.ts'
import type { TaskRegistry } from '../cluster/task-registry.ts'
import type { Database } from '../database/schema.ts'
import type { CheckPool } from '../jobs/check-pool.ts'
import type { JobFeed } from '../jobs/feed.ts'
import type { createRedo } from '../jobs/redo.ts'
import type { createRetry } from '../jobs/retry.ts'
import type { createSubmit } from '../jobs/submit.ts'
import type { createSubmitTask } from '../jobs/submit-task.ts'
import type { CheckInput } from '../jobs/task-input.ts'
import type { Metrics } from '../metrics.ts'
import type { Tickets } from '../transport/tickets.ts'
import type { Keys } from './keys.ts'

/** Everything that the routes need of the rest of the master. */
export interface AppDeps {
  config: Config
  db: Database
  redis: Redis
  blobs: BlobStore
  feed: JobFeed
  presence: Pick<WorkerPresence, 'workers'>
  access: Pick<Access, 'hasUsers' | 'createJoinCode' | 'revokeWorker' | 'forgiveWorker'>
  /** How others reach this master; known once it listens. */
  place(): Place
  room: Pick<Room, 'check' | 'disk'>
  redisWatch: Pick<RedisWatch, 'trouble' | 'findings'>
  /** Queues that were not what masters wrote. */
  engineFindings(): Finding[]
  tasks: TaskRegistry
  checkInput: CheckInput
  checkPool: Pick<CheckPool, 'read' | 'hash' | 'render'>
  tailnet: Tailnet
  metrics: Metrics
  tickets: Pick<Tickets, 'isUnit'>
  keys: Keys
  ffmpegPath: string
  log: Logger
  version: string
  submit: ReturnType<typeof createSubmit>
  submitTask: ReturnType<typeof createSubmitTask>
  /** False: there is no such job. */
  cancel(jobId: string): Promise<boolean>
  retry: ReturnType<typeof createRetry>
  redo: ReturnType<typeof createRedo>
}

/** The server as the routes see it: bodies, queries and answers are typed by their zod schemas. */
export type App = FastifyInstance<RawServerDefault, IncomingMessage, ServerResponse, FastifyBaseLogger, ZodTypeProvider>
