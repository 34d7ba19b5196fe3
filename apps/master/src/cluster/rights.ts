import { classOf, isClass, queueName, serves } from '@sc/shared/capability.ts'
import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import {
  controlChannel,
  ENROL_STREAM,
  enrolReplyKey,
  MASTER_KEY,
  outboxKey,
  presenceKey,
  QUEUE_PREFIX
} from '@sc/shared/redis-keys.ts'
import { TASK_NAME } from '@sc/shared/task-name.ts'

/** What one Redis user may do, as `ACL SETUSER` takes it. The order of the words counts: later ones win. */

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

/** Would show names of keys that are not its own, or leave something with the server. Not every server knows each. */
export const TOO_WIDE = ['scan', 'clusterscan', 'randomkey', 'dbsize', 'function', 'copy', 'move', 'lolwut'] as const

/** `known`: which of `TOO_WIDE` the server knows. */
export function workerRights(
  worker: { id: string; hash: string; queues: string[] },
  known: readonly string[]
): string[] {
  const { id, hash, queues } = worker
  return [
    'reset',
    'on',
    `#${hash}`,
    `%R~${MASTER_KEY}`,
    `%W~${ENROL_STREAM}`,
    `~${enrolReplyKey(id)}-*`,
    `~${outboxKey(id)}`,
    `~${presenceKey(id)}`,
    ...queues.map(queue => `~${QUEUE_PREFIX}:${queue}:*`),
    'resetchannels',
    `&${controlChannel(id)}`,
    '-@all',
    ...['+@read', '+@write', '+@connection', '+@blocking', '+subscribe', '+unsubscribe', '+eval', '+evalsha'],
    // Without this word it might empty the server; INFO is what a client looks at first.
    ...['-@dangerous', '+info', '-client', '+client|setname', '-command'],
    ...known.map(name => `-${name}`)
  ]
}

/** May ask to be enrolled, and read the answer. */
export function joinRights(user: string, hash: string): string[] {
  const keys = [`%W~${ENROL_STREAM}`, `~${enrolReplyKey(user)}-*`]
  return ['reset', 'on', `#${hash}`, ...keys, 'resetchannels', '-@all', '+xadd', '+blpop']
}
