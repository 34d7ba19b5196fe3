import { randomUUID } from 'node:crypto'
import { type EnrolReply, enrolReplySchema, JOIN_USER, proofOf, secretHash } from '@sc/shared/enrol-request.ts'
import { isErrorCode, ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { MAX_BLOCK_MS, type Redis } from '@sc/shared/redis.ts'
import { ENROL_STREAM, enrolAskKey, enrolReplyKey, MASTER_KEY, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { untilAborted } from '../until-aborted.ts'

/** An unanswered request is made anew after so long: a master that was killed may have read it. */
const ASK_AGAIN_MS = 15_000
const LOOK_FOR_MASTER_MS = 500

export interface EnrolDeps {
  redis: Redis
  /** For the wait on the answer. */
  blocking: Redis
  log: Logger
  signal: AbortSignal
}

export interface Enrolment {
  workerId: string
  /** Opens the master's blob route. */
  key: string
  /** It was drained before its restart, and still is. */
  draining?: boolean | undefined
}

export interface Who {
  name: string
  hostname: string
  /** Of an earlier time. */
  workerId: string | undefined
  /** Capability classes of its slots. */
  classes: string[]
}

type Accepted = Exclude<EnrolReply, { error: unknown }>
const ASK_TTL_MS = 60_000

/**
 * Asks the master who this worker is; waits for a master for ever. A worker that the master knows from an earlier time
 * keeps its id. `as`: the user by whose secret it shows who it is; without: an ordinary login. SC_PROTOCOL_VERSION when
 * the two speak different versions, SC_REVOKED, SC_JOIN_CODE_USED, SC_FORBIDDEN when the master refuses.
 */
export async function enrol(deps: EnrolDeps, who: Who, as?: { user: string; secret: string }): Promise<Accepted> {
  // A join code may not look: the master does.
  if (as === undefined || !JOIN_USER.test(as.user)) await waitForMaster(deps)
  for (;;) {
    const replyTo = as ? `${as.user}-${randomUUID()}` : randomUUID()
    if (!as) await deps.redis.set(enrolAskKey(replyTo), '1', 'PX', ASK_TTL_MS)
    const fields = {
      replyTo,
      name: who.name,
      hostname: who.hostname,
      workerId: who.workerId ?? '',
      protocol: PROTOCOL_VERSION,
      classes: who.classes.join(','),
      proof: as ? proofOf(secretHash(as.secret), replyTo) : ''
    }
    await untilAborted(deps.redis.xadd(ENROL_STREAM, '*', ...Object.entries(fields).flat()), deps.signal)
    const answer = await waitForAnswer(deps, replyTo)
    if (answer) return parseReply(answer)
    deps.log.info('The master has not answered yet; this worker asks again')
  }
}

async function waitForAnswer({ blocking, signal }: EnrolDeps, token: string): Promise<string | undefined> {
  const giveUpAtMs = performance.now() + ASK_AGAIN_MS
  while (performance.now() < giveUpAtMs) {
    const answer = await untilAborted(blocking.blpop(enrolReplyKey(token), MAX_BLOCK_MS / 1000), signal)
    if (answer) return answer[1]
  }
  return undefined
}

function parseReply(text: string): Accepted {
  const reply = enrolReplySchema.parse(JSON.parse(text))
  if (!('error' in reply)) return reply
  const { code, detail } = typeof reply.error === 'string' ? { code: '', detail: reply.error } : reply.error
  throw new ScError(isErrorCode(code) ? code : 'SC_FORBIDDEN', `The master did not enrol this worker: ${detail}`)
}

/** Waits until a master has published itself, and checks that it speaks this worker's protocol. */
async function waitForMaster({ redis, log, signal }: EnrolDeps): Promise<void> {
  let protocol = await redis.hget(MASTER_KEY, 'protocol')
  if (protocol === null) log.info('No master yet; waiting for one')
  while (protocol === null) {
    await new Promise(resolve => setTimeout(resolve, LOOK_FOR_MASTER_MS))
    signal.throwIfAborted()
    protocol = await redis.hget(MASTER_KEY, 'protocol')
  }
  if (Number(protocol) === PROTOCOL_VERSION) return
  const older = Number(protocol) > PROTOCOL_VERSION ? 'this worker' : 'the master'
  throw new ScError(
    'SC_PROTOCOL_VERSION',
    `The master speaks protocol ${protocol} and this worker ${PROTOCOL_VERSION}: update ${older}.`
  )
}
