import { randomUUID } from 'node:crypto'
import { fastify, LogController } from 'fastify'
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod'
import type { z } from 'zod'
import type { App, AppDeps } from './app-deps.ts'
import { limitConnections } from './limit-connections.ts'
import { pathOf, sendProblem, toProblem } from './problem.ts'
import { readJson, refuseEncoded } from './read-json.ts'
import { contentPolicy } from './security-headers.ts'
import { endIfUnread, paceChunks } from './unread-bodies.ts'

/** A connection on which nothing moves is closed; event streams say something every 15 s. */
const SILENT_CONNECTION_MS = 120_000
/** For its headers a request has so long; looked at so often. */
const HEADERS_MS = 10_000
const LOOK_MS = 5_000
const CONTENT_POLICY = contentPolicy({ inline: false })

export function createServer({ log }: Pick<AppDeps, 'log'>): App {
  const app = fastify({
    loggerInstance: log.child({ part: 'http' }),
    // One line when it is answered says more than two.
    logController: new LogController({ requestIdLogLabel: 'requestId', disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    connectionTimeout: SILENT_CONNECTION_MS,
    http: { headersTimeout: HEADERS_MS, connectionsCheckingInterval: LOOK_MS },
    // Idle keep-alive connections must not hold up the end.
    forceCloseConnections: 'idle',
    frameworkErrors: (error, request, reply) => {
      // No hook is called then.
      endIfUnread(request, reply, () => void sendProblem(reply, toProblem(error, request)))
    }
  }).withTypeProvider<ZodTypeProvider>()
  const limits = limitConnections(app.server)
  app.decorate('connectionLimits', limits)
  paceChunks(app.server, limits)
  app.setValidatorCompiler<z.core.$ZodType>(route => {
    const validate = validatorCompiler(route)
    // Null: there is none, which a schema with a default takes as undefined alone.
    return route.httpPart === 'body' ? body => validate(body ?? undefined) : validate
  })
  app.setSerializerCompiler(serializerCompiler)

  readJson(app)

  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id).header('content-security-policy', CONTENT_POLICY)
  })
  app.addHook('preParsing', async request => refuseEncoded(request))
  app.addHook('onSend', (request, reply, _payload, done) => endIfUnread(request, reply, done))
  app.addHook('onResponse', async (request, reply) => {
    const { method } = request
    const fields = { method, path: pathOf(request), status: reply.statusCode, ms: Math.round(reply.elapsedTime) }
    request.log.debug(fields, 'answered')
  })
  return app as unknown as App
}
