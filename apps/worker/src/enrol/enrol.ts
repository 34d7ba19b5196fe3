import { randomUUID } from 'node:crypto'
import { ScError } from '@sc/shared/errors.ts'
import type { Logger } from '@sc/shared/log.ts'
import { MAX_BLOCK_MS, type Redis } from '@sc/shared/redis.ts'
import { ENROL_STREAM, enrolReplyKey, MASTER_KEY } from '@sc/shared/redis-keys.ts'
import { z } from 'zod'
import { untilAborted } from '../until-aborted.ts'
import { protocolError } from './master-version.ts'

/** An unanswered request is made anew after so long: a master that was killed may have read it. */
const ASK_AGAIN_MS = 15_000
const LOOK_FOR_MASTER_MS = 500

const replySchema = z.union([
  z.object({ workerId: z.string(), key: z.string(), draining: z.boolean().optional() }),
  z.object({ error: z.union([z.string(), z.object({ detail: z.string() }).loose()]) })
])

export interface EnrolDeps {
  redis: Redis
  /** For the wait on the answer. */
  blocking: Redis
  log: Logger
  signal: AbortSignal
}

export interface Enrolment {
  workerId: string
  key: string
  /** It was drained before its restart, and still is. */
  draining?: boolean | undefined
}

/**
 * Asks the master who this worker is; waits for a master for ever. A worker that the master knows from an earlier time
 * keeps its id. SC_PROTOCOL_VERSION when the two speak different versions, SC_FORBIDDEN when the master refuses.
 */
export async function enrol(
  deps: EnrolDeps,
  who: { name: string; hostname: string; workerId: string | undefined }
): Promise<Enrolment> {
  await waitForMaster(deps)
  for (;;) {
    const token = randomUUID()
    const fields = { replyTo: token, name: who.name, hostname: who.hostname, workerId: who.workerId ?? '' }
    const requestId = await deps.redis.xadd(ENROL_STREAM, '*', ...Object.entries(fields).flat())
    const answer = await waitForAnswer(deps, token)
    if (answer) return parseReply(answer)
    await deps.redis.xdel(ENROL_STREAM, requestId as string)
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

function parseReply(text: string): Enrolment {
  const reply = replySchema.parse(JSON.parse(text))
  if (!('error' in reply)) return reply
  const reason = typeof reply.error === 'string' ? reply.error : reply.error.detail
  throw new ScError('SC_FORBIDDEN', `The master did not enrol this worker: ${reason}`)
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
  const error = protocolError(protocol)
  if (error) throw error
}
