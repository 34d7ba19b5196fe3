import { pause } from '@sc/shared/pause.ts'
import type { UnitPayload } from '@sc/shared/unit.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { OpenQueues } from '../queues/open-queues.ts'
import { peekEntries } from '../queues/queues.ts'
import { sendInbox } from './inbox.ts'
import type { Links, ServedLink } from './links.ts'

const LOOK_EVERY_MS = 500

/**
 * Names to each worker whose slots run units with files the ones that go next, so that it fetches them meanwhile. They are
 * only looked at: at worst another worker takes them, and a few MB were copied in vain.
 */
export function startPrefetch(deps: { redis: Redis; queues: OpenQueues; links: Links; log: Logger }): {
  stop(): Promise<void>
} {
  const { redis, queues, links, log } = deps
  const stopping = new AbortController()
  const named = new WeakMap<ServedLink, string>()

  async function look(link: ServedLink): Promise<void> {
    const busy = link.held().filter(({ taken, unread }) => unread.size > 0 && taken.units[0].inputRef !== null)
    if (busy.length === 0) return
    const next: UnitPayload[] = []
    for (const name of new Set(busy.map(({ taken }) => taken.queue.name)))
      next.push(...(await peekEntries(queues.get(name), busy.length)))
    const units = next.flatMap(({ inputRef, params }) => (inputRef === null ? [] : [{ inputRef, params }]))
    const text = JSON.stringify(units)
    if (units.length === 0 || named.get(link) === text) return
    named.set(link, text)
    await sendInbox(redis, link.workerId, { type: 'prefetch', units })
  }

  const running = (async () => {
    while (!stopping.signal.aborted) {
      await pause(LOOK_EVERY_MS, stopping.signal)
      for (const link of links.all())
        await look(link).catch(error => log.debug({ err: error }, 'looking ahead failed; trying again'))
    }
  })()
  return {
    stop: async () => {
      stopping.abort()
      await running
    }
  }
}
