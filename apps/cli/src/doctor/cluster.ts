/** What the master says of itself, of its parts, of its workers and of the models that they have. */
import { readFileSync } from 'node:fs'
import { type Check, failed, type Outcome, ok, warning } from '@sc/shared/doctor/finding.ts'
import { HOW_TO_UPDATE, isNewer } from '@sc/shared/versions.ts'
import { z } from 'zod'
import type { MasterClient } from '../connect/master-client.ts'

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
const NO_ANSWER = 'Look whether the master runs, and at its log.'

const infoSchema = z.looseObject({ mode: z.string(), version: z.string() })
const healthSchema = z.looseObject({
  checks: z.record(z.string(), z.looseObject({ status: z.string(), detail: z.string().nullish() }))
})
const workersSchema = z.object({
  items: z.array(
    z.looseObject({
      name: z.string(),
      status: z.string(),
      lastSeen: z.string(),
      version: z.string(),
      protocol: z.number(),
      reason: z.string().nullish(),
      slots: z.array(z.looseObject({ id: z.string(), state: z.string(), reason: z.string().nullish() }))
    })
  )
})
type WorkerRow = z.infer<typeof workersSchema>['items'][number]
const modelsSchema = z.object({
  items: z.array(z.looseObject({ name: z.string(), nodes: z.array(z.looseObject({ name: z.string() })) }))
})

/** The key and the versions. Without the master's ear there is no more to ask. */
export async function checkAccess(
  client: MasterClient,
  signal: AbortSignal
): Promise<{ isIn: boolean; checks: Check[] }> {
  const info = client.get('/api/cluster/info', infoSchema, signal)
  const isIn = await info.then(
    () => true,
    () => false
  )
  const key: Check = {
    name: 'key',
    look: async () => ok(`the master takes it; mode ${(await info).mode}`),
    next: "Name the file with the master's key: --key-file FILE (on its machine: admin.key in its data folder)."
  }
  const version: Check = { name: 'version', look: async () => versionOutcome((await info).version), next: NO_ANSWER }
  return { isIn, checks: isIn ? [key, version] : [key] }
}

export function versionOutcome(master: string, own = manifest.version): Outcome {
  const found = `the master is ${master}, this command ${own}`
  if (isNewer(master, own)) return warning(found, `Update this machine: ${HOW_TO_UPDATE}.`)
  return isNewer(own, master) ? warning(found, `Update the master: ${HOW_TO_UPDATE}.`) : ok(found)
}

export async function checkHealth(client: MasterClient, signal: AbortSignal): Promise<Check[]> {
  const asked = client.get('/api/cluster/health', healthSchema, signal)
  const parts = await asked.then(
    ({ checks }) => Object.entries(checks),
    () => null
  )
  if (!parts) return [{ name: 'health', look: async () => ok(String(await asked)), next: NO_ANSWER }]
  return parts.map(([name, { status, detail }]) => ({
    name,
    look: async () => (status === 'failing' ? failed(detail ?? status, nextFor(name)) : ok(detail ?? status)),
    next: NO_ANSWER
  }))
}

function nextFor(part: string): string {
  if (part === 'workers')
    return 'Start a worker: `pnpm start:worker`. The worker itself says what it lacks: `sc-worker doctor`.'
  if (part === 'tailscale') return 'On the machine of the master: `tailscale status`.'
  return `On the machine of the master, look whether ${part} runs and its disk has room; the log of the master says more.`
}

/** One finding for each machine. */
export async function checkWorkers(client: MasterClient, signal: AbortSignal): Promise<Check[]> {
  const [{ items }, { version }] = await Promise.all([
    client.get('/api/workers', workersSchema, signal),
    client.get('/api/cluster/info', infoSchema, signal)
  ])
  return items.map(row => ({
    name: `worker ${row.name}`,
    look: async () => workerOutcome(row, version),
    next: NO_ANSWER
  }))
}

export function workerOutcome(row: WorkerRow, masterVersion: string): Outcome {
  const { name, status, lastSeen, version, reason, slots } = row
  const onIt = `On its machine: \`sc-worker doctor${/^[\w.-]+$/.test(name) ? ` --name ${name}` : ''}\`.`
  if (status === 'offline') return warning(`offline since ${lastSeen}`, `Switch it on, or revoke it. ${onIt}`)
  const out = slots.filter(({ state }) => state === 'out-of-service')
  if (out.length > 0) {
    const reasons = out.map(slot => `${slot.id}: ${slot.reason ?? 'out of service'}`).join('; ')
    return out.length === slots.length ? failed(reasons, onIt) : warning(reasons, onIt)
  }
  if (isNewer(masterVersion, version))
    return warning(`version ${version}, older than the master's ${masterVersion}`, `Update it: ${HOW_TO_UPDATE}.`)
  if (status === 'draining') return ok(`takes no units: ${reason ?? 'draining'}`)
  return ok(`online, ${slots.length} slot${slots.length === 1 ? '' : 's'}, version ${version}`)
}

/** A master of an earlier version does not say. */
export async function checkModels(client: MasterClient, signal: AbortSignal): Promise<Check[]> {
  const { items } = await client.get('/api/models', modelsSchema, signal).catch(() => ({ items: [] }))
  const shown = items.map(({ name, nodes }) => `${name} (${nodes.map(node => node.name).join(', ')})`).join('; ')
  const none = () =>
    warning('no machine has a speech model', 'The first transcription fetches one, from a package or the hub.')
  return [{ name: 'models', look: async () => (shown ? ok(shown) : none()), next: NO_ANSWER }]
}
