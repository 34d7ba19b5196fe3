/** `sc workers`: the machines of the cluster, what they have and what they do. */
import { print, printJson } from '@sc/shared/printable.ts'
import { z } from 'zod'
import type { MasterClient } from '../connect/master-client.ts'
import { formatTable } from '../show/figures.ts'

const workerSchema = z.looseObject({
  id: z.string(),
  name: z.string(),
  hostname: z.string(),
  status: z.string(),
  cpu: z.looseObject({ threads: z.number(), load: z.number() }).nullish(),
  ram: z.looseObject({ totalGb: z.number() }).nullish(),
  gpus: z.array(z.looseObject({ name: z.string(), vramTotalGb: z.number() })),
  queues: z.array(z.string()),
  slots: z.array(z.looseObject({ id: z.string(), state: z.string(), reason: z.string().nullish() }))
})
export type WorkerRow = z.infer<typeof workerSchema>

const workersSchema = z.object({ items: z.array(workerSchema) })

export async function fetchWorkers(client: MasterClient, signal: AbortSignal): Promise<WorkerRow[]> {
  return (await client.get('/api/workers', workersSchema, signal)).items
}

export async function listWorkers(client: MasterClient, { json, signal }: { json: boolean; signal: AbortSignal }) {
  const workers = await fetchWorkers(client, signal)
  if (json) printJson(workers)
  else if (workers.length === 0) print('No workers. Start one with `pnpm start:worker`.\n')
  else print(formatTable(['NAME', 'HOST', 'STATUS', 'SLOTS', 'CPU', 'GPU', 'QUEUES'], workers.map(rowOf)))
}

function rowOf({ name, hostname, status, slots, cpu, gpus, queues }: WorkerRow): string[] {
  const states = [...Map.groupBy(slots, slot => slot.state)].map(([state, same]) => `${same.length} ${state}`)
  const threads = cpu ? `${cpu.threads} threads` : '-'
  const cards = gpus.map(gpu => `${gpu.name} ${Math.round(gpu.vramTotalGb)} GB`)
  const slotsNow = status === 'offline' ? '-' : states.join(', ') || '-'
  return [name, hostname, status, slotsNow, threads, cards.join(', ') || '-', queues.join(' ')]
}
