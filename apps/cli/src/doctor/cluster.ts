/** Whether the master takes the key, which version it is, and what it finds in the cluster. */
import { readFileSync } from 'node:fs'
import {
  type Check,
  type Finding,
  failed,
  findingSchema,
  type Outcome,
  ok,
  warning
} from '@sc/shared/doctor/finding.ts'
import { ScError } from '@sc/shared/errors.ts'
import { HOW_TO_UPDATE, isNewer } from '@sc/shared/versions.ts'
import { z } from 'zod'
import type { MasterClient } from '../connect/master-client.ts'

const manifest = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string }
const infoSchema = z.looseObject({ mode: z.string(), version: z.string() })
const doctorSchema = z.looseObject({ items: z.array(findingSchema) })

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
  const version: Check = {
    name: 'version',
    look: async () => versionOutcome((await info).version),
    next: 'Look whether the master runs, and at its log.'
  }
  return { isIn, checks: isIn ? [key, version] : [key] }
}

export function versionOutcome(master: string, own = manifest.version): Outcome {
  const found = `the master is ${master}, this command ${own}`
  if (isNewer(master, own)) return warning(found, `Update this machine: ${HOW_TO_UPDATE}.`)
  return isNewer(own, master) ? warning(found, `Update the master: ${HOW_TO_UPDATE}.`) : ok(found)
}

/** What the master finds; a finding of its own where it cannot be asked. */
export async function clusterFindings(client: MasterClient, signal: AbortSignal): Promise<Finding[]> {
  try {
    return (await client.get('/api/cluster/doctor', doctorSchema, signal)).items
  } catch (error) {
    if (error instanceof ScError && error.code === 'SC_NOT_FOUND')
      return [
        {
          check: 'cluster',
          ...failed(
            'this master is of an earlier version, which does not look at its cluster',
            `Update the master: ${HOW_TO_UPDATE}. Until then: \`sc workers\`, and its /api/cluster/health.`
          )
        }
      ]
    if (error instanceof ScError && error.code === 'SC_FORBIDDEN') {
      const next = 'To look at the cluster too, name the file of a key with the scope read: --key-file FILE.'
      return [{ check: 'cluster', ...warning('this key may submit and not look at the cluster', next) }]
    }
    return [{ check: 'master', ...failed((error as Error).message, 'Look at the log of the master.') }]
  }
}
