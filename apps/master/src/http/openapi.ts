import swagger from '@fastify/swagger'
import { createJsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod'
import { z } from 'zod'
import type { App, AppDeps } from './app-deps.ts'
import { problems } from './problem.ts'
import { webhookCalls } from './webhook-schemas.ts'

/** `/openapi.json` (3.1), from the schemas of the routes that are added after it. */
export async function addOpenapi(app: App, { version }: AppDeps): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Semantics Cluster',
        version,
        description:
          'Transcription and tasks of any kind, spread over several machines. Errors are `application/problem+json` with a `code`.',
        license: { name: 'MIT', identifier: 'MIT' }
      },
      components: {
        securitySchemes: {
          key: { type: 'http', scheme: 'bearer', description: 'The admin key is in `admin.key` in the data folder.' }
        }
      },
      security: [{ key: [] }],
      webhooks: webhookCalls
    },
    transform: document => {
      const { schema, url } = transform(document)
      // Public routes override the security of all others.
      return { url, schema: document.route.config?.public ? { ...schema, security: [] } : schema }
    },
    transformObject: document => withoutUnused(jsonSchemaTransformObject(document))
  })

  app.get('/openapi.json', {
    config: { scope: 'read', own: true, cookieAlone: true },
    schema: {
      summary: 'This description, OpenAPI 3.1',
      tags: ['docs'],
      response: { 200: { description: 'OpenAPI 3.1', content: JSON_OBJECT }, ...problems() }
    },
    handler: async (_request, reply) => reply.type('application/json').send(JSON.stringify(app.swagger()))
  })
}

const JSON_OBJECT = { 'application/json': { schema: z.any().meta({ type: 'object' }) } }
const transform = createJsonSchemaTransform({})

type Transformed = ReturnType<typeof jsonSchemaTransformObject>

/** The schemas are registered for answers only; their twins for requests are referred to by nothing. */
function withoutUnused(document: Transformed): Transformed {
  if (!('components' in document)) return document
  const text = JSON.stringify(document)
  const all = Object.entries(document.components?.schemas ?? {})
  const schemas = Object.fromEntries(all.filter(([name]) => text.includes(`"#/components/schemas/${name}"`)))
  return { ...document, components: { ...document.components, schemas } } as Transformed
}
