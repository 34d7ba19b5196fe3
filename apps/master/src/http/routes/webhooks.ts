import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import { listDeliveries, resendDelivery } from '../../webhooks/deliveries.ts'
import { deleteSecret, listSecrets, makeSecret } from '../../webhooks/secrets.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { callerOf } from '../auth.ts'
import { formatJobCursor, parseJobCursor } from '../job-cursor.ts'
import { problems } from '../problem.ts'
import { ownerOf } from '../visible.ts'
import {
  deliveryListSchema,
  deliverySchema,
  deliveryStatusSchema,
  madeSecretSchema,
  secretListSchema,
  secretRequestSchema,
  secretSchema
} from '../webhook-schemas.ts'

const tags = ['webhooks']
const LARGEST_PAGE = 100

/** The secrets that sign a key's webhooks, and what became of each webhook. */
export function addWebhooks(app: App, { db }: Pick<AppDeps, 'db'>): void {
  app.post('/api/webhooks', {
    config: { scope: 'submit' },
    schema: {
      summary: 'Make a secret that signs your webhooks',
      description:
        'It signs those of all jobs of the key that asks, as Standard Webhooks says, and is shown this once. Where there is one, the one before signs beside it for `overlapSeconds`, so that receivers can change over meanwhile. Without a secret webhooks go unsigned.',
      tags,
      body: secretRequestSchema,
      response: { 201: madeSecretSchema, ...problems() }
    },
    handler: async (request, reply) => {
      const { keyId } = callerOf(request)
      const made = await makeSecret(db, keyId, request.body.overlapSeconds)
      request.log.info({ keyId, secretId: made.id }, 'secret of webhooks made')
      return reply.status(201).header('cache-control', 'no-store').send(made)
    }
  })

  app.get('/api/webhooks', {
    config: { scope: 'submit' },
    schema: {
      summary: 'The secrets that sign your webhooks, newest first',
      description: 'Those of the key that asks, without their text. Two while one takes the place of the other.',
      tags,
      response: { 200: secretListSchema, ...problems() }
    },
    handler: async request => ({ items: await listSecrets(db, callerOf(request).keyId), nextCursor: null })
  })

  app.delete('/api/webhooks/:secretId', {
    config: { scope: 'submit' },
    schema: {
      summary: 'End a secret of yours at once',
      tags,
      params: z.object({ secretId: z.string().max(100) }),
      response: { 200: secretSchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async request => {
      const { secretId } = request.params
      const { keyId } = callerOf(request)
      const ended = await deleteSecret(db, keyId, secretId)
      if (!ended) throw new ScError('SC_NOT_FOUND', `Your key has no secret "${secretId}".`)
      request.log.info({ keyId, secretId }, 'secret of webhooks ended')
      return ended
    }
  })

  app.get('/api/webhooks/deliveries', {
    config: { scope: 'read', own: true },
    schema: {
      summary: 'What became of webhooks, newest first',
      description:
        'One delivery for each end of a job that came with `webhook_url`. While it is PENDING it is tried for a day, with pauses that double up to an hour. It is kept as long as its job.',
      tags,
      querystring: z.object({
        status: deliveryStatusSchema.optional(),
        jobId: z.string().max(100).optional(),
        cursor: z.string().max(200).optional().describe('`nextCursor` of the page before'),
        limit: z.coerce.number().int().min(1).max(LARGEST_PAGE).default(50)
      }),
      response: { 200: deliveryListSchema, ...problems() }
    },
    handler: async request => {
      const { cursor, ...filter } = request.query
      const { items, next } = await listDeliveries(db, {
        ...filter,
        owner: ownerOf(request),
        after: cursor === undefined ? undefined : parseJobCursor(cursor)
      })
      return { items, nextCursor: next ? formatJobCursor(next) : null }
    }
  })

  app.post('/api/webhooks/deliveries/:deliveryId/resend', {
    config: { scope: 'submit' },
    schema: {
      summary: 'Send a webhook again',
      description:
        'At once, and then for a day, under the same `webhook-id`; also one that was delivered. One that is PENDING does not wait for its time.',
      tags,
      params: z.object({ deliveryId: z.string().max(100) }),
      response: { 202: deliverySchema, ...problems('SC_NOT_FOUND') }
    },
    handler: async (request, reply) => {
      const { deliveryId } = request.params
      const delivery = await resendDelivery(db, deliveryId)
      if (!delivery) throw new ScError('SC_NOT_FOUND', `There is no delivery "${deliveryId}".`)
      return reply.status(202).send(delivery)
    }
  })
}
