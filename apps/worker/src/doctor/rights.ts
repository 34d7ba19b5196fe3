import { type Check, failed, type Outcome, ok, warning } from '@sc/shared/doctor/finding.ts'
import type { Redis } from '@sc/shared/redis.ts'
import { inboxKey, MASTER_KEY, outboxKey, PREFIX, presenceKey } from '@sc/shared/redis-keys.ts'

/**
 * What the worker's login may do in Redis, found out by trying: each command changes nothing, whether it is allowed or not,
 * and a worker's own login may not ask for its rights. Where it is allowed it may fail for another reason.
 */
type Trial = [what: string, tried: (redis: Redis) => Promise<unknown>]

/** Has nothing in Redis. */
const NOBODY = 'w-doctor-nobody'
/** No id that XADD takes, no time that SET takes, no count that BLMPOP takes. */
const NO_ID = '0-0'
const NO_TIME = '0'
const NO_COUNT = 0

const needed = (workerId: string): Trial[] => [
  ['read its inbox', redis => redis.blmpop(0, 1, inboxKey(workerId), 'LEFT', 'COUNT', NO_COUNT)],
  ['write its outbox', redis => redis.xadd(outboxKey(workerId), NO_ID, 'm', '')],
  ['write its presence', redis => redis.set(presenceKey(workerId), '', 'PX', NO_TIME)]
]

const tooMuch = (workerId: string): Trial[] => [
  ['read its own outbox', redis => redis.xlen(outboxKey(workerId))],
  ['read the outbox of another', redis => redis.xlen(outboxKey(NOBODY))],
  ['read the inbox of another', redis => redis.blmpop(0, 1, inboxKey(NOBODY), 'LEFT', 'COUNT', NO_COUNT)],
  ['write the presence of another', redis => redis.set(presenceKey(NOBODY), '', 'PX', NO_TIME)],
  ['read the queues', redis => redis.exists(`${PREFIX}:q:cpu:id`)],
  ['read where the master is', redis => redis.exists(MASTER_KEY)],
  ['run scripts', redis => redis.eval('return 1', 0)],
  ['publish', redis => redis.publish(NOBODY, '')],
  ['read the configuration of Redis', redis => redis.config('GET', 'maxmemory')]
]

export interface RightsDeps {
  redis: Redis
  /** Undefined: it is not enrolled yet. */
  workerId: string | undefined
  /** The login came from the master of this machine, whose owner may do everything anyway. */
  isOfThisMachine: boolean
}

export function checkRights(deps: RightsDeps): Check[] {
  return [
    {
      name: 'broker: rights',
      look: async () => {
        const { redis, workerId } = deps
        if (workerId === undefined)
          return warning('this worker is not enrolled yet', 'Start it once: `sc-worker run`. Then ask again.')
        const lacking = await refusedOf(redis, needed(workerId))
        const refused = await refusedOf(redis, tooMuch(workerId))
        const excess = tooMuch(workerId)
          .map(([what]) => what)
          .filter(what => !refused.includes(what))
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
      'Look at the log of the master, which makes the login. If that does not help, enrol this worker anew with another --name.'
    )
  if (excess.length === 0) return ok('what it needs, and nothing else that was tried')
  if (isOfThisMachine) return ok('everything, as the master of this machine')
  return warning(
    `what it needs, and also to ${excess.join(', to ')}`,
    'Whoever takes this machine takes the whole Redis: enrol the worker with a join code (`sc join`), which gives it a login of its own.'
  )
}

async function refusedOf(redis: Redis, trials: Trial[]): Promise<string[]> {
  const refused: string[] = []
  for (const [what, tried] of trials) {
    const error = await tried(redis).then(
      () => undefined,
      (thrown: Error) => thrown
    )
    if (error && /^NOPERM|not allowed|permission/i.test(error.message)) refused.push(what)
    else if (error && !(error.name === 'ReplyError')) throw error
  }
  return refused
}
