import type { Gpu } from '@sc/shared/presence.ts'
import { execa } from 'execa'

/** The one file that knows nvidia-smi. */
const FIELDS = [
  'index',
  'uuid',
  'name',
  'driver_version',
  'memory.total',
  'memory.used',
  'utilization.gpu',
  'temperature.gpu',
  'power.draw',
  'compute_cap'
] as const
/** It takes 0.05 to 0.5 s; a broken driver can hang it. */
const TIMEOUT_MS = 10_000

/** The GPUs of this machine, none where nvidia-smi is not on PATH or fails. */
export async function probeGpus(): Promise<Gpu[]> {
  const args = [`--query-gpu=${FIELDS.join(',')}`, '--format=csv,noheader,nounits']
  const { stdout, failed } = await execa('nvidia-smi', args, { timeout: TIMEOUT_MS, reject: false, stdin: 'ignore' })
  return failed ? [] : parseGpus(stdout)
}

/** One GPU a line; memory in MiB; `[N/A]` or `[Not Supported]` where the card does not say. */
export function parseGpus(csv: string): Gpu[] {
  return csv.split('\n').flatMap(line => {
    const [index, uuid, name, driver, total, used, utilization, temperature, power, computeCapability] = line
      .split(',')
      .map(field => field.trim())
    if (!uuid || !name || numberOf(index) === null) return []
    return {
      index: numberOf(index) ?? 0,
      uuid,
      name,
      vramTotalGb: gigabytes(total),
      vramUsedGb: gigabytes(used),
      utilization: numberOf(utilization),
      temperatureC: numberOf(temperature),
      powerW: numberOf(power),
      driver: driver ?? '',
      computeCapability: numberOf(computeCapability) === null ? null : (computeCapability ?? null)
    }
  })
}

function numberOf(field: string | undefined): number | null {
  return field && /^-?\d+(\.\d+)?$/.test(field) ? Number(field) : null
}

function gigabytes(mebibytes: string | undefined): number {
  return Math.round(((numberOf(mebibytes) ?? 0) / 1024) * 100) / 100
}
