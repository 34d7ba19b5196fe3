import type { ScError } from '@sc/shared/errors.ts'
import type { App, AppDeps } from './app-deps.ts'
import { withRetryAfter } from './problem.ts'

const TRY_AGAIN_SECONDS = 30

/** 429 with Retry-After for whatever brings new work, while there is no room for it. After the check of the key. */
export function addFull(app: App, { room }: Pick<AppDeps, 'room'>): void {
  app.addHook('onRequest', async request => {
    if (request.method !== 'POST' || request.routeOptions.config.scope !== 'submit') return
    try {
      room.check()
    } catch (error) {
      throw withRetryAfter(error as ScError, TRY_AGAIN_SECONDS)
    }
  })
}
