import type { FastifyInstance } from 'fastify'
import type { App } from './app-deps.ts'
import { contentPolicy } from './security-headers.ts'

/** The page starts itself by a script in the page. */
const PAGE_POLICY = contentPolicy({ inline: true })
const PATHS = ['/docs/', '/docs/js/scalar.js']

/** `/docs` shows `/openapi.json` in a browser; everything it needs comes from here. */
export function addDocs(app: App): void {
  // The reader is 40 MB of memory that a master without a curious user does not need: loaded when first asked for.
  let reader: Promise<FastifyInstance> | undefined
  app.addHook('onClose', async () => void (await reader)?.close())

  for (const url of PATHS) {
    app.get(url, {
      config: { scope: 'read', own: true, cookieAlone: true },
      schema: { hide: true },
      handler: async (_request, reply) => {
        reader ??= openReader()
        const { headers, body } = await (await reader).inject({ url })
        return reply.header('content-security-policy', PAGE_POLICY).type(`${headers['content-type']}`).send(body)
      }
    })
  }
  for (const url of ['/docs', '/swagger']) {
    app.get(url, {
      config: { scope: 'read', own: true, cookieAlone: true },
      schema: { hide: true },
      handler: async (_request, reply) => reply.redirect('/docs/', 302)
    })
  }
}

/** The plugin in a server of its own that only this file asks. */
async function openReader(): Promise<FastifyInstance> {
  const [{ fastify }, { default: scalar }] = await Promise.all([
    import('fastify'),
    import('@scalar/fastify-api-reference')
  ])
  const reader = fastify()
  await reader.register(scalar, {
    routePrefix: '/docs',
    configuration: {
      url: '/openapi.json',
      // Nothing from elsewhere: no fonts, no telemetry, no proxy.
      withDefaultFonts: false,
      telemetry: false,
      hideClientButton: true
    }
  })
  return reader
}
