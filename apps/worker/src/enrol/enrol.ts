import { randomUUID } from 'node:crypto'
import {
  type EnrolReply,
  type EnrolRequest,
  JOIN_USER,
  newSeal,
  openReply,
  proofOf,
  secretHash
} from '@sc/shared/enrol-request.ts'
import { isErrorCode, ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { pause } from '@sc/shared/pause.ts'
import type { Redis } from '@sc/shared/redis.ts'
import { ENROL_ASKERS, enrolAnswerKey, enrolAskKey, PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { untilAborted } from '../until-aborted.ts'

/** An unanswered request is made anew after so long: a master that was killed may have read it. */
const ASK_AGAIN_MS = 15_000
const LOOK_MS = 100
const ASK_TTL_MS = 60_000

export interface EnrolDeps {
  redis: Redis
  log: Logger
  signal: AbortSignal
}

export interface Enrolment {
  workerId: string
  /** Opens the master's blob route. */
  key: string
}

export interface Who {
  name: string
  hostname: string
  /** Of an earlier time. */
  workerId: string | undefined
}

type Accepted = Exclude<EnrolReply, { error: unknown }>

/**
 * Asks the master to make this machine a worker; waits for a master for ever. `code`: the join code's user and secret; without:
 * an ordinary login, with which a worker that the master knows from an earlier time keeps its id. SC_PROTOCOL_VERSION when
 * the two speak different versions, SC_REVOKED, SC_JOIN_CODE_USED, SC_NAME_TAKEN, SC_FORBIDDEN when the master refuses.
 */
export async function enrol(
  { redis, log, signal }: EnrolDeps,
  who: Who,
  code?: { user: string; secret: string }
): Promise<Accepted> {
  for (;;) {
    const asker = code && JOIN_USER.test(code.user) ? code.user : randomUUID()
    const request: EnrolRequest = {
      asker,
      name: who.name,
      hostname: who.hostname,
      workerId: who.workerId ?? '',
      protocol: PROTOCOL_VERSION,
      seal: newSeal(),
      proof: ''
    }
    if (code) request.proof = proofOf(secretHash(code.secret), request)
    await untilAborted(redis.set(enrolAskKey(asker), JSON.stringify(request), 'PX', ASK_TTL_MS), signal)
    if (!code) await redis.rpush(ENROL_ASKERS, asker)
    const answer = await waitForAnswer(redis, request, signal)
    if (answer) return accept(answer)
    log.info('No master has answered yet; this worker asks again')
  }
}

async function waitForAnswer(redis: Redis, { asker, seal }: EnrolRequest, signal: AbortSignal) {
  const giveUpAtMs = performance.now() + ASK_AGAIN_MS
  while (performance.now() < giveUpAtMs) {
    const text = await untilAborted(redis.get(enrolAnswerKey(asker)), signal)
    const answer = text === null ? undefined : openReply(seal, text)
    if (answer) return answer
    await pause(LOOK_MS, signal)
    signal.throwIfAborted()
  }
  return undefined
}

function accept(reply: EnrolReply): Accepted {
  if (!('error' in reply)) return reply
  const { code, detail } = reply.error
  throw new ScError(isErrorCode(code) ? code : 'SC_FORBIDDEN', `The master did not enrol this worker: ${detail}`)
}
