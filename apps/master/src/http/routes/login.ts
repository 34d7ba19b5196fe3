import { ScError } from '@sc/shared/errors.ts'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import { createTailnetLogin } from '../../cluster/tailnet-login.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { isSameOrigin } from '../auth.ts'
import { problems } from '../problem.ts'

/**
 * `GET /login`: with `code`, the link that the master printed becomes a session of this browser, once; without, a user of
 * this tailnet whom SC_TAILNET_LOGIN names gets one.
 */
export function addLogin(app: App, { keys, tailnet, config, log }: AppDeps): void {
  const ask = createTailnetLogin({ allowed: config.tailnetLogin, tailnet })

  app.get('/login', {
    config: { public: true },
    // A look ahead by a browser or a chat program would use the link up.
    exposeHeadRoute: false,
    schema: {
      summary: 'Open the one-time login link, or log in from the own tailnet',
      description: 'Without `code`: for users of the tailnet whom SC_TAILNET_LOGIN names.',
      tags: ['login'],
      querystring: z.object({ code: z.string().max(200).optional() }),
      response: {
        303: { description: 'Logged in', content: { 'text/plain': { schema: z.string() } } },
        ...problems()
      }
    },
    handler: async (request, reply) => {
      reply.header('cache-control', 'no-store').header('referrer-policy', 'no-referrer')
      const { code } = request.query
      const cookie = code === undefined ? await fromTailnet(request) : keys.redeem(code, isSecure(request))
      if (!cookie)
        throw new ScError(
          'SC_UNAUTHENTICATED',
          'This login link was used before or is too old. Restart the master for a new one.'
        )
      return reply.header('set-cookie', cookie).redirect('/cluster', 303)
    }
  })

  async function fromTailnet(request: FastifyRequest): Promise<string> {
    const { headers, hostname, socket } = request
    const { remoteAddress: address = '', localPort: port = config.port } = socket
    const isForwarded = ['forwarded', 'x-forwarded-for', 'via'].some(name => headers[name] !== undefined)
    const { loginName, hostname: machine } = await ask({ address, port, hostname, isForwarded })
    if (!isSameOrigin(request)) throw new ScError('SC_FORBIDDEN', 'A page of another site may not log in here.')
    log.info({ loginName, machine }, 'Logged in from the tailnet')
    return keys.letIn(isSecure(request))
  }
}

const isSecure = ({ protocol }: FastifyRequest): boolean => protocol === 'https'
