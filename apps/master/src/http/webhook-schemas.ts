import { z } from 'zod'
import { DELIVERY_STATUSES, JOB_STATUSES, OPEN_JOB } from '../database/schema.ts'
import { errorReportSchema, named, time } from './schemas.ts'

/** What the routes about webhooks take and answer. */
const DAY_SECONDS = 24 * 3_600

export const secretRequestSchema = z
  .strictObject({
    overlapSeconds: z
      .int()
      .min(0)
      .max(7 * DAY_SECONDS)
      .default(DAY_SECONDS)
      .describe('How long the secret before signs beside the new one; 0: not at all')
  })
  .prefault({})

export const secretSchema = named(
  'WebhookSecret',
  z.object({
    id: z.string(),
    createdAt: time,
    endsAt: time.nullable().describe('Null: it signs until another takes its place')
  })
)

export const madeSecretSchema = named(
  'MadeWebhookSecret',
  secretSchema.extend({ secret: z.string().describe('`whsec_…`, shown this once') })
)

export const secretListSchema = z.object({ items: z.array(secretSchema), nextCursor: z.null() })

export const deliveryStatusSchema = z.enum(DELIVERY_STATUSES)

export const deliverySchema = named(
  'WebhookDelivery',
  z.object({
    id: z.string().describe('Also what the receiver gets as `webhook-id`, with each attempt'),
    jobId: z.string(),
    url: z.string().describe('Without its query'),
    status: deliveryStatusSchema,
    attempts: z.int(),
    responseStatus: z.int().nullable().describe('Of the last attempt; null: nothing answered it'),
    error: errorReportSchema.nullable().describe('Why the last attempt was none that was accepted'),
    createdAt: time,
    lastAttemptAt: time.nullable(),
    nextAttemptAt: time.nullable().describe('Null: there is none to come'),
    deliveredAt: time.nullable()
  })
)

export const deliveryListSchema = z.object({ items: z.array(deliverySchema), nextCursor: z.string().nullable() })

const orNull = (schema: object) => ({ anyOf: [schema, { type: 'null' as const }] })

/** What a receiver gets, as OpenAPI describes calls that the API makes itself. */
export const webhookCalls = {
  jobEnded: {
    post: {
      summary: 'A job has ended',
      description:
        'Sent to the `webhook_url` of the job. The headers `webhook-id`, `webhook-timestamp` and `webhook-signature` are those of Standard Webhooks; without a secret (`POST /api/webhooks`) there is no signature.',
      tags: ['webhooks'],
      security: [],
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: {
              type: 'object' as const,
              required: ['jobId', 'status', 'resultUrl', 'error', 'finishedAt'],
              properties: {
                jobId: { type: 'string' as const },
                status: { type: 'string' as const, enum: JOB_STATUSES.filter(status => !OPEN_JOB.includes(status)) },
                resultUrl: orNull({ type: 'string', description: 'Null: there is no result' }),
                error: orNull({ $ref: '#/components/schemas/ErrorReport' }),
                finishedAt: orNull({ type: 'string', format: 'date-time' })
              }
            }
          }
        }
      },
      responses: {
        '2XX': { description: 'It is accepted' },
        '410': { description: 'It is not sent again' },
        default: { description: 'It is sent again, for a day' }
      }
    }
  }
}
