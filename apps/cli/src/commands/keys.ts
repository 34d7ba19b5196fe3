/** `sc keys`, `sc keys create`, `sc keys revoke`: who may use the cluster, and what for. */
import { print, printError, printJson } from '@sc/shared/printable.ts'
import { z } from 'zod'
import type { MasterClient } from '../connect/master-client.ts'
import { formatTable } from '../show/figures.ts'

/** Loose, so that --json keeps what the table does not show. */
const keySchema = z.looseObject({
  id: z.string(),
  name: z.string(),
  scopes: z.array(z.string()),
  createdAt: z.string(),
  lastUsedAt: z.string().nullable(),
  revokedAt: z.string().nullable()
})
type Key = z.infer<typeof keySchema>
const listSchema = z.object({ items: z.array(keySchema) })
const madeSchema = keySchema.extend({ key: z.string() })

interface Output {
  json: boolean
  signal: AbortSignal
}

export async function listKeys(client: MasterClient, { json, signal }: Output): Promise<void> {
  const { items } = await client.get('/api/keys', listSchema, signal)
  if (json) printJson(items)
  else print(formatTable(['ID', 'SCOPES', 'CREATED', 'LAST USED', 'STATUS', 'NAME'], items.map(rowOf)))
}

export async function createKey(
  client: MasterClient,
  { name, scopes, json, signal }: Output & { name: string; scopes: string[] }
): Promise<void> {
  const made = await client.ask('POST', '/api/keys', madeSchema, { body: { name, scopes }, signal })
  if (json) return void printJson(made)
  // The key alone on stdout: KEY=$(sc keys create …)
  printError(`Shown this once; it may ${made.scopes.join(', ')}. To end it: sc keys revoke ${made.id}\n`)
  print(`${made.key}\n`)
}

export async function revokeKey(client: MasterClient, { id, json, signal }: Output & { id: string }): Promise<void> {
  const key = await client.ask('DELETE', `/api/keys/${encodeURIComponent(id)}`, keySchema, { signal })
  if (json) printJson(key)
  else print(formatTable(['REVOKED', 'NAME'], [[key.id, key.name]]))
}

function rowOf({ id, name, scopes, createdAt, lastUsedAt, revokedAt }: Key): string[] {
  const used = lastUsedAt === null ? 'never' : minuteOf(lastUsedAt)
  return [id, scopes.join(' '), minuteOf(createdAt), used, revokedAt === null ? 'good' : 'revoked', name]
}

function minuteOf(time: string): string {
  return time.slice(0, 16).replace('T', ' ')
}
