/** `sc webhooks …`: the secrets that sign webhooks, and what became of each webhook. */
import { print, printError, printJson } from '@sc/shared/printable.ts'
import { z } from 'zod'
import type { MasterClient } from '../connect/master-client.ts'
import { formatTable } from '../show/figures.ts'

/** Loose, so that --json keeps what the tables do not show. */
const secretSchema = z.looseObject({ id: z.string(), createdAt: z.string(), endsAt: z.string().nullable() })
const secretsSchema = z.object({ items: z.array(secretSchema) })
const madeSchema = secretSchema.extend({ secret: z.string() })

const deliverySchema = z.looseObject({
  id: z.string(),
  jobId: z.string(),
  url: z.string(),
  status: z.string(),
  attempts: z.number(),
  error: z.looseObject({ detail: z.string() }).nullable(),
  nextAttemptAt: z.string().nullable()
})
type Delivery = z.infer<typeof deliverySchema>
const pageSchema = z.object({ items: z.array(deliverySchema), nextCursor: z.string().nullable() })

interface Output {
  json: boolean
  signal: AbortSignal
}

export async function listSecrets(client: MasterClient, { json, signal }: Output): Promise<void> {
  const { items } = await client.get('/api/webhooks', secretsSchema, signal)
  if (json) printJson(items)
  else if (items.length === 0) print('Your key has no secret: its webhooks go unsigned. Make one: sc webhooks create\n')
  else print(formatTable(['SECRET', 'CREATED', 'SIGNS UNTIL'], items.map(secretRowOf)))
}

export async function createSecret(
  client: MasterClient,
  { overlapSeconds, json, signal }: Output & { overlapSeconds?: number }
): Promise<void> {
  const body = overlapSeconds === undefined ? {} : { overlapSeconds }
  const made = await client.ask('POST', '/api/webhooks', madeSchema, { body, signal })
  if (json) return void printJson(made)
  // The secret alone on stdout: SECRET=$(sc webhooks create)
  printError(`Shown this once; it signs from now on. To end it: sc webhooks delete ${made.id}\n`)
  print(`${made.secret}\n`)
}

export async function deleteSecret(client: MasterClient, { id, json, signal }: Output & { id: string }): Promise<void> {
  const ended = await client.ask('DELETE', `/api/webhooks/${encodeURIComponent(id)}`, secretSchema, { signal })
  if (json) printJson(ended)
  else print(formatTable(['SECRET', 'CREATED', 'SIGNS UNTIL'], [secretRowOf(ended)]))
}

export interface ListDeliveries extends Output {
  status?: string
  job?: string
  limit: number
}

export async function listDeliveries(client: MasterClient, command: ListDeliveries): Promise<void> {
  const deliveries = await fetchDeliveries(client, command)
  if (command.json) printJson(deliveries)
  else if (deliveries.length === 0) print('No webhooks.\n')
  else print(formatTable(DELIVERY_COLUMNS, deliveries.map(deliveryRowOf)))
}

export async function resendDelivery(
  client: MasterClient,
  { id, json, signal }: Output & { id: string }
): Promise<void> {
  const path = `/api/webhooks/deliveries/${encodeURIComponent(id)}/resend`
  const delivery = await client.ask('POST', path, deliverySchema, { signal })
  if (json) printJson(delivery)
  else print(formatTable(DELIVERY_COLUMNS, [deliveryRowOf(delivery)]))
}

async function fetchDeliveries(
  client: MasterClient,
  { status, job, limit, signal }: ListDeliveries
): Promise<Delivery[]> {
  const found: Delivery[] = []
  let cursor: string | null = null
  do {
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries({ status, jobId: job, cursor })) if (value) query.set(name, value)
    const page: z.infer<typeof pageSchema> = await client.get(`/api/webhooks/deliveries?${query}`, pageSchema, signal)
    found.push(...page.items)
    cursor = page.nextCursor
  } while (cursor && found.length < limit)
  return found.slice(0, limit)
}

const DELIVERY_COLUMNS = ['DELIVERY', 'JOB', 'STATUS', 'ATTEMPTS', 'NEXT', 'URL', 'NOTE']

function secretRowOf({ id, createdAt, endsAt }: z.infer<typeof secretSchema>): string[] {
  return [id, secondOf(createdAt), endsAt === null ? 'the next takes its place' : secondOf(endsAt)]
}

function deliveryRowOf({ id, jobId, status, attempts, nextAttemptAt, url, error }: Delivery): string[] {
  const next = nextAttemptAt === null ? '-' : secondOf(nextAttemptAt)
  return [id, jobId, status, `${attempts}`, next, url, error?.detail ?? '']
}

function secondOf(time: string): string {
  return time.slice(0, 19).replace('T', ' ')
}
