/** `sc doctor`: the way from here to the master, and the cluster behind it, one finding each with the next step. */
import type { Config } from '@sc/shared/config.ts'
import { failed, startReport } from '@sc/shared/doctor/finding.ts'
import { checkPath, checkReach, targetOf } from '@sc/shared/doctor/network.ts'
import { print } from '@sc/shared/printable.ts'
import { findMaster, type MasterAddress } from '../connect/find-master.ts'
import { createMasterClient } from '../connect/master-client.ts'
import { checkAccess, clusterFindings } from '../doctor/cluster.ts'
import { EXIT } from '../show/failure.ts'

export interface DoctorOptions {
  config: Config
  keyFile: string | undefined
  json: boolean
  signal: AbortSignal
}

export async function doctor({ config, keyFile, json, signal }: DoctorOptions): Promise<number> {
  const report = startReport({ json, write: print })
  let address: MasterAddress
  try {
    address = findMaster(config, keyFile)
  } catch (error) {
    const next = 'Start it, or say where it is, as the sentence says.'
    await report.run([{ name: 'master', look: async () => failed((error as Error).message, next), next }])
    return report.end()
  }
  const { url } = address
  const target = targetOf('master', url)
  const client = createMasterClient(address)
  await report.run([...checkReach(target), ...checkPath(target, url, config.tailscaleSocket)])
  const access = await checkAccess(client, signal)
  await report.run(access.checks)
  if (access.isIn) report.add(await clusterFindings(client, signal))
  signal.throwIfAborted()
  return report.end() === 0 ? EXIT.done : EXIT.failed
}
