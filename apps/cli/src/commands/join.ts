/** `sc join`: the line that makes another machine a worker. */
import { print, printable, printJson } from '@sc/shared/printable.ts'
import { z } from 'zod'
import type { MasterClient } from '../connect/master-client.ts'

const joinSchema = z.object({
  command: z.string(),
  alternatives: z.array(z.object({ title: z.string(), command: z.string() })),
  prerequisites: z.array(z.string()),
  mode: z.string(),
  masterAddress: z.string(),
  expiresAt: z.string().nullable()
})

export async function showJoin(client: MasterClient, { json, signal }: { json: boolean; signal: AbortSignal }) {
  // Each call a new code: the lines for two machines must not be the same.
  const join = await client.ask('POST', '/api/cluster/join-codes', joinSchema, { signal })
  if (json) return void printJson(join)
  const until = join.expiresAt
    ? ` within ${Math.round((Date.parse(join.expiresAt) - Date.now()) / 60_000)} minutes, for one worker`
    : ''
  print(`On the other machine${until}:\n\n  ${printable(join.command)}\n\n`)
  for (const { title, command } of join.alternatives) print(`${printable(title)}:\n  ${printable(command)}\n`)
  print(`\nIt needs:\n${join.prerequisites.map(line => `  ${printable(line)}\n`).join('')}`)
}
