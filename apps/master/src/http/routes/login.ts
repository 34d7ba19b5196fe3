import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'

/** `GET /login?code=…`: the link that the master printed becomes a session of this browser, once. */
export function addLogin(app: App, { keys }: AppDeps): void {
  app.get('/login', {
    config: { public: true },
    // A look ahead by a browser or a chat program would use the link up.
    exposeHeadRoute: false,
    schema: {
      summary: 'Open the one-time login link',
      tags: ['login'],
      querystring: z.object({ code: z.string().max(200) }),
      response: {
        303: { description: 'Logged in', content: { 'text/plain': { schema: z.string() } } },
        ...problems()
      }
    },
    handler: async (request, reply) => {
      reply.header('cache-control', 'no-store').header('referrer-policy', 'no-referrer')
      const cookie = keys.redeem(request.query.code, request.protocol === 'https')
      if (!cookie)
        throw new ScError(
          'SC_UNAUTHENTICATED',
          'This login link was used before or is too old. Restart the master for a new one.'
        )
      return reply.header('set-cookie', cookie).redirect('/cluster', 303)
    }
  })
}
