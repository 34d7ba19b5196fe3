import underPressure from '@fastify/under-pressure'
import { ScError } from '@sc/shared/errors.ts'
import type { App } from './app-deps.ts'

/** Later than this the master would only answer more slowly still. */
const MAX_EVENT_LOOP_DELAY_MS = 2_000

/** 503 with Retry-After while the process is too busy to answer in time. */
export async function addPressure(app: App): Promise<void> {
  await app.register(underPressure, {
    maxEventLoopDelay: MAX_EVENT_LOOP_DELAY_MS,
    pressureHandler: request => {
      // Whether the process lives is asked just when it is busy.
      if (request.routeOptions.url === '/healthz') return
      throw new ScError('SC_UNAVAILABLE', 'The master is too busy to answer now.')
    }
  })
}
