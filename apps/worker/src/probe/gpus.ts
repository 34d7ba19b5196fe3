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

/** A process that computes on a GPU. */
export interface GpuProcess {
  gpuUuid: string
  pid: number
  /** Null where the driver does not say (Windows). */
  usedGb: number | null
}

/** The GPUs of this machine and who computes on them. */
export interface GpuLook {
  gpus: Gpu[]
  processes: GpuProcess[]
}

/** The GPUs of this machine, none where nvidia-smi is not on PATH or fails. */
export async function probeGpus(): Promise<Gpu[]> {
  return (await lookAtGpus())?.gpus ?? []
}

/** Null: nvidia-smi is not there or failed, which says nothing about the GPUs. */
export async function lookAtGpus(): Promise<GpuLook | null> {
  const cards = await query(`--query-gpu=${FIELDS.join(',')}`)
  if (cards === null) return null
  const gpus = parseGpus(cards)
  if (gpus.length === 0) return { gpus, processes: [] }
  return { gpus, processes: parseProcesses((await query('--query-compute-apps=gpu_uuid,pid,used_memory')) ?? '') }
}

async function query(what: string): Promise<string | null> {
  const args = [what, '--format=csv,noheader,nounits']
  const { stdout, failed } = await execa('nvidia-smi', args, { timeout: TIMEOUT_MS, reject: false, stdin: 'ignore' })
  return failed ? null : stdout
}

/** One process a line; memory in MiB, or `[N/A]`. */
export function parseProcesses(csv: string): GpuProcess[] {
  return csv.split('\n').flatMap(line => {
    const [gpuUuid, pid, used] = line.split(',').map(field => field.trim())
    if (!gpuUuid || numberOf(pid) === null) return []
    return { gpuUuid, pid: Number(pid), usedGb: numberOf(used) === null ? null : gigabytes(used) }
  })
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
