import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { App, AppDeps } from '../app-deps.ts'
import { callerOf } from '../auth.ts'
import { createKey, findKeyById, KEY_SCOPES, listKeys, revokeKey } from '../key-rows.ts'
import { problems } from '../problem.ts'
import { keySchema, madeKeySchema } from '../schemas.ts'

const tags = ['keys']

/** Who may use this cluster, and what for. */
export function addKeys(app: App, { db, keys }: Pick<AppDeps, 'db' | 'keys'>): void {
  app.post('/api/keys', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Make a key',
      description:
        '`key` is shown this once: only its hash is kept. `submit` submits, and sees and cancels what it has submitted; `read` sees everything; `metrics` is for `/metrics`; `admin` may do all of it, make join codes and keys, and revoke them.',
      tags,
      body: z.strictObject({
        name: z.string().trim().min(1).max(100).describe('For people: who uses it, and where'),
        scopes: z.array(z.enum(KEY_SCOPES)).min(1).max(KEY_SCOPES.length)
      }),
      response: { 201: madeKeySchema, ...problems() }
    },
    handler: async (request, reply) => {
      const { name, scopes } = request.body
      const { keyId, key } = await createKey(db, { name, scopes: [...new Set(scopes)] })
      request.log.info({ keyId, name, scopes, by: callerOf(request).keyId }, 'key made')
      const made = await findKeyById(db, keyId)
      if (!made) throw new Error(`the key ${keyId} is gone`)
      return reply
        .status(201)
        .header('cache-control', 'no-store')
        .send({ ...made, key })
    }
  })

  app.get('/api/keys', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Keys, oldest first',
      description:
        'Those that were revoked, too. Those of workers are not here: they end with `DELETE /api/workers/{id}`.',
      tags,
      response: { 200: z.object({ items: z.array(keySchema), nextCursor: z.null() }), ...problems() }
    },
    handler: async () => ({ items: await listKeys(db), nextCursor: null })
  })

  app.delete('/api/keys/:keyId', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Revoke a key',
      description:
        'It is refused from the next request on; by another master of the same database within a second. Its jobs and schedules stay.',
      tags,
      params: z.object({ keyId: z.string().max(100) }),
      response: { 200: keySchema, ...problems('SC_NOT_FOUND', 'SC_LAST_ADMIN_KEY') }
    },
    handler: async request => {
      const { keyId } = request.params
      const by = callerOf(request).keyId
      const key = await revokeKey(db, keyId, by)
      keys.revoked()
      if (!key) throw new ScError('SC_NOT_FOUND', `There is no key with the id "${keyId}".`)
      request.log.info({ keyId, name: key.name, by }, 'key revoked')
      return key
    }
  })
}
