import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { App, AppDeps } from '../app-deps.ts'
import { callerOf } from '../auth.ts'
import { problems } from '../problem.ts'
import { sessionSchema } from '../schemas.ts'

const tags = ['login']
/** In the place of an id: the session that asks. */
const CURRENT = 'current'

/** Browsers that are logged in, and their end. */
export function addSessions(app: App, { keys: { sessions } }: Pick<AppDeps, 'keys'>): void {
  app.get('/api/sessions', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Browsers that are logged in, the newest first',
      tags,
      response: { 200: z.object({ items: z.array(sessionSchema), nextCursor: z.null() }), ...problems() }
    },
    handler: async request => {
      const { sessionId } = callerOf(request)
      const items = (await sessions.list()).map(session => ({ ...session, isCurrent: session.id === sessionId }))
      return { items, nextCursor: null }
    }
  })

  app.delete('/api/sessions/:sessionId', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Log a browser out',
      description: `\`${CURRENT}\` is the one that asks. It is refused from its next request on.`,
      tags,
      params: z.object({ sessionId: z.string().max(100) }),
      response: { 204: z.null().describe('It is gone'), ...problems('SC_NOT_FOUND') }
    },
    handler: async (request, reply) => {
      const own = callerOf(request).sessionId
      const wanted = request.params.sessionId
      const id = wanted === CURRENT ? own : wanted
      if (id === null || !(await sessions.end(id)))
        throw new ScError('SC_NOT_FOUND', `There is no session "${wanted}".`)
      if (id === own) reply.header('set-cookie', sessions.forget)
      return reply.status(204).send(null)
    }
  })

  app.post('/api/logout', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Log this browser out',
      tags,
      response: { 204: z.null().describe('It is logged out'), ...problems('SC_NOT_FOUND') }
    },
    handler: async (request, reply) => {
      const { sessionId } = callerOf(request)
      if (sessionId === null) throw new ScError('SC_NOT_FOUND', 'This request came with a key, which has no session.')
      await sessions.end(sessionId)
      return reply.status(204).header('set-cookie', sessions.forget).send(null)
    }
  })
}
