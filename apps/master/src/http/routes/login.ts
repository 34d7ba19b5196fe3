import { ScError } from '@sc/shared/errors.ts'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { createTailnetLogin } from '../../cluster/tailnet-login.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { isSameOrigin } from '../auth.ts'
import { problems } from '../problem.ts'
import { PAGE_TOKEN_IN_ADDRESS } from '../session.ts'

const MOST_BODY_BYTES = 1024

/**
 * `GET /login`: with `code`, the link that the master printed becomes a session of this browser, once; without, a user of
 * this tailnet whom SC_TAILNET_LOGIN names gets one. `POST /login` is the latter for the page's script.
 */
export function addLogin(app: App, { keys, tailnet, config, log }: AppDeps): void {
  const ask = createTailnetLogin({ allowed: config.tailnetLogin, tailnet })
  const tags = ['login']

  app.get('/login', {
    config: { public: true },
    // A look ahead by a browser or a chat program would use the link up.
    exposeHeadRoute: false,
    schema: {
      summary: 'Open the one-time login link, or log in from the own tailnet',
      description: 'Without `code`: for users of the tailnet whom SC_TAILNET_LOGIN names.',
      tags,
      querystring: z.object({ code: z.string().max(200).optional() }),
      response: {
        303: { description: 'Logged in', content: { 'text/plain': { schema: z.string() } } },
        ...problems()
      }
    },
    handler: async (request, reply) => {
      keepPrivate(reply)
      const { code } = request.query
      const login = code === undefined ? await fromTailnet(request) : await fromLink(request, code)
      // Behind the #, which browsers send nowhere; the page takes it from there.
      const page = `/cluster#${PAGE_TOKEN_IN_ADDRESS}=${login.pageToken}`
      return reply.header('set-cookie', login.setCookie).redirect(page, 303)
    }
  })

  app.post('/login', {
    config: { public: true },
    // It needs none, and anybody may send one.
    bodyLimit: MOST_BODY_BYTES,
    schema: {
      summary: 'Log in from the own tailnet, for a script of the page',
      description: 'For users of the tailnet whom SC_TAILNET_LOGIN names.',
      tags,
      response: { 200: z.object({ pageToken: z.string() }), ...problems() }
    },
    handler: async (request, reply) => {
      keepPrivate(reply)
      const { setCookie, pageToken } = await fromTailnet(request)
      return reply.header('set-cookie', setCookie).send({ pageToken })
    }
  })

  async function fromLink(request: FastifyRequest, code: string) {
    // Before the code is used up.
    await app.checkName(request)
    if (keys.redeem(code)) return await keys.sessions.open(browserOf(request), null)
    throw new ScError(
      'SC_UNAUTHENTICATED',
      'This login link was used before or is too old. Restart the master for a new one.'
    )
  }

  async function fromTailnet(request: FastifyRequest) {
    const { headers, hostname, socket } = request
    const { remoteAddress: address = '', localPort: port = config.port } = socket
    const isForwarded = ['forwarded', 'x-forwarded-for', 'via'].some(name => headers[name] !== undefined)
    const who = await ask({ address, port, hostname, isForwarded })
    if (!isSameOrigin(request)) throw new ScError('SC_FORBIDDEN', 'A page of another site may not log in here.')
    log.info({ loginName: who.loginName, machine: who.hostname }, 'Logged in from the tailnet')
    return await keys.sessions.open(browserOf(request), who)
  }
}

function keepPrivate(reply: FastifyReply): void {
  reply.header('cache-control', 'no-store').header('referrer-policy', 'no-referrer')
}

function browserOf({ headers, protocol }: FastifyRequest) {
  return { agent: headers['user-agent'], isSecure: protocol === 'https' }
}
