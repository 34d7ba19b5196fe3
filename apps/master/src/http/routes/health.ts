import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { App, AppDeps } from '../app-deps.ts'
import { checkCore, shareLooks } from '../health-checks.ts'
import { problems } from '../problem.ts'

const tags = ['health']

/** For whoever watches the process: the only routes of the API that need no key. */
export function addHealth(app: App, deps: AppDeps): void {
  const look = shareLooks(() => checkCore(deps))

  app.get('/healthz', {
    config: { public: true },
    schema: { summary: 'The process lives', tags, response: { 200: z.object({ status: z.literal('ok') }) } },
    handler: async () => ({ status: 'ok' as const })
  })

  app.get('/readyz', {
    config: { public: true },
    schema: {
      summary: 'Redis, PostgreSQL and the blob store do their work',
      tags,
      response: { 200: z.object({ status: z.literal('ready') }), ...problems() }
    },
    handler: async () => {
      const checks = await look()
      const away = Object.entries(checks).flatMap(([name, { status }]) => (status === 'failing' ? [name] : []))
      if (away.length === 0) return { status: 'ready' as const }
      const does = deps.redisWatch.trouble() === null ? 'did not answer' : 'did not answer or does not work'
      // Names only: what they said is for those with a key, at /api/cluster/health.
      throw new ScError('SC_UNAVAILABLE', `Not ready: ${away.join(', ')} ${does}.`)
    }
  })
}
