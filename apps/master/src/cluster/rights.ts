import { classOf, isClass, queueName, serves } from '@sc/shared/capability.ts'
import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import {
  enrolAnswerKey,
  enrolAskKey,
  inboxKey,
  MASTER_KEY,
  outboxKey,
  PREFIX,
  presenceKey
} from '@sc/shared/redis-keys.ts'
import { TASK_NAME } from '@sc/shared/task-name.ts'

/** What one Redis user may do, as `ACL SETUSER` takes it. Each selector is a set of commands with the keys they are for. */

/** The queues of a worker: the classes of its slots, and of each those of its own tasks that belong there. */
export function queuesOfWorker(classes: string[], tasks: TaskDescription[]): string[] {
  const own = tasks.filter(({ builtIn, name }) => !builtIn && TASK_NAME.test(name))
  return classes
    .filter(isClass)
    .flatMap(base => [
      base,
      ...own.filter(task => serves(base, classOf(task))).map(({ name }) => queueName(base, name))
    ])
}

/** What a client sends by itself. None of it answers with, or keeps, what it was sent: no PING, no SETNAME. */
const CONNECTION = ['+auth', '+quit', '+client|id']
/** The same, where the cluster is not in database 0: into its own, and no other. */
const connection = (database: number): string[] => (database > 0 ? [...CONNECTION, `+select|${database}`] : CONNECTION)
const NOTHING = ['reset', 'on', 'resetkeys', 'resetchannels', '-@all']

export interface WorkerLogin {
  id: string
  hash: string
  isOld: boolean
  /** Of Redis; default 0. */
  database?: number
}

/**
 * A worker pops from its inbox, adds to its outbox and sets its presence. `isOld`: it was enrolled before this boundary and not
 * updated since, and may look which version the master is, so that it can say what to update; listening to its channel, on
 * which nothing comes any more, is what it ends without.
 */
export function workerRights({ id, hash, isOld, database = 0 }: WorkerLogin): string[] {
  return [
    ...NOTHING,
    `#${hash}`,
    ...connection(database),
    `(+blmpop %RW~${inboxKey(id)})`,
    `(+xadd %W~${outboxKey(id)})`,
    `(+set %W~${presenceKey(id)})`,
    ...(isOld ? ['+subscribe', '+unsubscribe', `&${PREFIX}:ctl:${id}`, `(+hget +hmget %R~${MASTER_KEY})`] : [])
  ]
}

/** May ask once to be enrolled, and read the answer. */
export function joinRights(user: string, hash: string, database = 0): string[] {
  return [
    ...NOTHING,
    `#${hash}`,
    ...connection(database),
    `(+set %W~${enrolAskKey(user)})`,
    `(+get %R~${enrolAnswerKey(user)})`
  ]
}
