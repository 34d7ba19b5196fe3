import { type Finding, failed, type Outcome, warning } from '@sc/shared/doctor/finding.ts'
import { describeMemory, isTight, mayEvict, type RedisMemory } from './redis-memory.ts'

/** Why masters cannot work with a Redis that is there. */
export type Trouble =
  | { kind: 'busy'; detail: string }
  | { kind: 'hung'; seconds: number }
  | { kind: 'full'; memory: RedisMemory; largest: string[] }
  | { kind: 'refuses'; detail: string }

/** What the watch ended by itself. */
export interface Mended {
  what: string
  at: Date
}

/** So long a doctor still names it. */
const REMEMBERED_MS = 15 * 60_000
const WHO =
  'Look who may log in to Redis with more than a worker’s rights: `ACL LIST` names the users, `CLIENT LIST` who is there.'

/** `isOurs`: an embedded server, which is started again by itself. */
export function describeTrouble(trouble: Trouble, isOurs: boolean): Outcome {
  const again = 'On its machine: `redis-cli SHUTDOWN NOSAVE`, or `kill -9`; then start it again.'
  switch (trouble.kind) {
    case 'busy':
      return failed(
        `a script does not end, and SCRIPT KILL does not help: ${trouble.detail}`,
        isOurs ? `It is killed and started again. ${WHO}` : `${again} ${WHO}`
      )
    case 'hung':
      return failed(
        `it did not answer for ${trouble.seconds} s, though its port is open`,
        isOurs ? 'It is killed and started again; the log of the master says more.' : again
      )
    case 'full':
      return failed(
        `its memory is full: ${describeMemory(trouble.memory)}${named(trouble.largest)}`,
        `Delete what is not the cluster's (\`redis-cli --memkeys\` shows what is large), or raise maxmemory. What waits goes on by itself then. ${WHO}`
      )
    case 'refuses':
      return failed(
        `it refuses to write: ${trouble.detail}`,
        'MISCONF: make room on its disk. READONLY: it follows another server, `REPLICAOF NO ONE`. NOPERM: give the login of REDIS_URL its rights back.'
      )
  }
}

const named = (largest: string[]): string => (largest.length > 0 ? `; its largest keys: ${largest.join(', ')}` : '')

export function findingsOf(state: {
  trouble: Trouble | null
  memory: RedisMemory | null
  mended: Mended | null
  isOurs: boolean
}): Finding[] {
  const { trouble, memory, mended, isOurs } = state
  const findings: Finding[] = []
  if (trouble) findings.push({ check: 'redis: work', ...describeTrouble(trouble, isOurs) })
  else if (memory && isTight(memory))
    findings.push({
      check: 'redis: memory',
      ...warning(
        `it uses ${describeMemory(memory)}: no new work is taken`,
        'It ends by itself when what is under way is done. If not: `redis-cli --memkeys` shows what is large.'
      )
    })
  if (memory && mayEvict(memory))
    findings.push({
      check: 'redis: eviction',
      ...warning(
        `full, it throws away what it was given (maxmemory-policy ${memory.policy})`,
        '`redis-cli CONFIG SET maxmemory-policy noeviction`, and the same in its configuration.'
      )
    })
  if (mended && Date.now() - mended.at.getTime() < REMEMBERED_MS)
    findings.push({ check: 'redis: mended', ...warning(`${mended.at.toISOString()}: ${mended.what}`, WHO) })
  return findings
}
