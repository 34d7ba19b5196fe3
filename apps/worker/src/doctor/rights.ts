import { type Check, failed, type Outcome, ok, warning } from '@sc/shared/doctor/finding.ts'
import { closeRedis, type Redis } from '@sc/shared/redis.ts'
import { controlChannel, MASTER_KEY, outboxKey, presenceKey, QUEUE_PREFIX } from '@sc/shared/redis-keys.ts'

/**
 * What the worker's login may do in Redis, found out by trying: each command changes nothing, whether it is let through or
 * not, and a worker's own login may not ask for its rights.
 */
type Trial = [what: string, tried: (redis: Redis) => Promise<unknown>]

/** Has nothing in Redis. */
const NOBODY = 'w-doctor-nobody'

function needed(workerId: string, queues: string[]): Trial[] {
  return [
    ['read what the master says of itself', redis => redis.hget(MASTER_KEY, 'httpUrl')],
    ['write its outbox', redis => redis.xdel(outboxKey(workerId), '0-1')],
    ['write its presence', redis => redis.setrange(presenceKey(workerId), 0, '')],
    ['listen to its control channel', redis => listen(redis, controlChannel(workerId))],
    ...queues.map(
      (queue): Trial => [`use the queue ${queue}`, redis => runScript(redis, `${QUEUE_PREFIX}:${queue}:id`)]
    )
  ]
}

const TOO_MUCH: Trial[] = [
  ['read the outbox of another', redis => redis.xlen(outboxKey(NOBODY))],
  ['read the presence of another', redis => redis.strlen(presenceKey(NOBODY))],
  ['use another queue', redis => runScript(redis, `${QUEUE_PREFIX}:${NOBODY}:id`)],
  ['give orders to a worker', redis => redis.publish(controlChannel(NOBODY), '')],
  ['read the configuration of Redis', redis => redis.config('GET', 'maxmemory')],
  ['ask for scripts of others', redis => redis.script('EXISTS', '0'.repeat(40))]
]

export interface RightsDeps {
  redis: Redis
  /** Undefined: it is not enrolled yet. */
  workerId: string | undefined
  queues: string[]
  /** The login came from the master of this machine, whose owner may do everything anyway. */
  isOfThisMachine: boolean
}

export function checkRights(deps: RightsDeps): Check[] {
  return [
    {
      name: 'broker: rights',
      look: async () => {
        const { redis, workerId, queues } = deps
        if (workerId === undefined)
          return warning('this worker is not enrolled yet', 'Start it once: `sc-worker run`. Then ask again.')
        const lacking = await refusedOf(redis, needed(workerId, queues))
        const refused = await refusedOf(redis, TOO_MUCH)
        const excess = TOO_MUCH.map(([what]) => what).filter(what => !refused.includes(what))
        return rightsOutcome({ lacking, excess, isOfThisMachine: deps.isOfThisMachine })
      },
      next: 'Look whether Redis answers: see the login above.'
    }
  ]
}

export function rightsOutcome(found: { lacking: string[]; excess: string[]; isOfThisMachine: boolean }): Outcome {
  const { lacking, excess, isOfThisMachine } = found
  if (lacking.length > 0)
    return failed(
      `it may not ${lacking.join(', nor ')}`,
      'Start the worker again: it is given what it needs. If that does not help, enrol it anew with another --name.'
    )
  if (excess.length === 0) return ok('what it needs, and nothing else that was tried')
  if (isOfThisMachine) return ok('everything, as the master of this machine')
  return warning(
    `what it needs, and also to ${excess.join(', to ')}`,
    'Whoever takes this machine takes the whole Redis: let the worker in with a login of its own.'
  )
}

async function refusedOf(redis: Redis, trials: Trial[]): Promise<string[]> {
  const refused: string[] = []
  for (const [what, tried] of trials) {
    try {
      await tried(redis)
    } catch (error) {
      if (!/^NOPERM/.test((error as Error).message) && !/not allowed|permission/i.test((error as Error).message))
        throw error
      refused.push(what)
    }
  }
  return refused
}

async function listen(redis: Redis, channel: string): Promise<void> {
  const ear = redis.duplicate()
  ear.on('error', () => {})
  try {
    await ear.subscribe(channel)
  } finally {
    await closeRedis(ear)
  }
}

/** As BullMQ works: a script with its keys. */
function runScript(redis: Redis, key: string): Promise<unknown> {
  return redis.eval("return redis.call('EXISTS', KEYS[1])", 1, key)
}
