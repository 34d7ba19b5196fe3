import { type Finding, failed, warning } from '@sc/shared/doctor/finding.ts'
import type { Logger } from 'pino'

export interface QueueFindings {
  /** It was not what masters wrote, and was put right. */
  mended(queue: string, found: string[]): void
  /** It could not be put right. */
  broken(queue: string, error: Error): void
  /** A look found nothing that could not be put right. */
  works(queue: string): void
  findings(): Finding[]
}

/** So long the doctor names what was mended. */
const REMEMBERED_MS = 15 * 60_000
const MOST_NAMED = 5
const NEXT =
  'Only masters write to queues: look who else may log in to Redis (`ACL LIST`, `CLIENT LIST`), and update workers of an older version.'

/** What was wrong with queues lately, each with its first cause. */
export function createQueueFindings(log: Logger): QueueFindings {
  const mended = new Map<string, { found: Set<string>; at: Date }>()
  const broken = new Map<string, string>()

  function forgetOld(): void {
    for (const [queue, { at }] of mended) if (Date.now() - at.getTime() > REMEMBERED_MS) mended.delete(queue)
  }

  return {
    mended: (queue, found) => {
      forgetOld()
      const before = mended.get(queue)?.found ?? new Set()
      if (found.some(what => !before.has(what)))
        log.warn({ queue, found }, 'a queue was not what masters wrote, and was put right from PostgreSQL')
      mended.set(queue, { found: new Set([...before, ...found].slice(-MOST_NAMED)), at: new Date() })
    },
    broken: (queue, error) => {
      if (broken.get(queue) !== error.message) log.error({ queue, err: error }, 'a queue could not be put right')
      broken.set(queue, error.message)
    },
    works: queue => void broken.delete(queue),
    findings: () => {
      forgetOld()
      return [
        ...[...broken].map(([queue, message]) => ({
          check: `queue ${queue}`,
          ...failed(`it is not what masters write, and could not be put right: ${message}`, NEXT)
        })),
        ...[...mended].map(([queue, { found, at }]) => ({
          check: `queue ${queue}`,
          ...warning(
            `${at.toISOString()}: it was not what masters wrote, and was put right: ${[...found].join('; ')}`,
            NEXT
          )
        }))
      ]
    }
  }
}
