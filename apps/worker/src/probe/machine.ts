import { cpus, freemem, hostname, totalmem } from 'node:os'
import type { Presence } from '@sc/shared/presence.ts'
import si from 'systeminformation'

export type Machine = Pick<Presence, 'hostname' | 'os' | 'cpu' | 'ram'>

const GIB = 1024 ** 3

/** What the machine is: CPU, RAM, OS. */
export async function probeMachine(): Promise<Machine> {
  const [cpu, mem, os] = await Promise.all([si.cpu(), si.mem(), si.osInfo()])
  return {
    hostname: hostname(),
    os: `${os.distro} ${os.release} ${os.arch}`.trim(),
    cpu: {
      model: `${cpu.manufacturer} ${cpu.brand}`.trim(),
      cores: cpu.physicalCores || cpus().length,
      threads: cpu.cores || cpus().length,
      ghz: cpu.speed,
      load: 0
    },
    ram: { totalGb: gigabytes(mem.total), availableGb: gigabytes(mem.available) }
  }
}

/** What changes: the CPU's load in percent since the last call, and the free memory. */
export async function probeLoad(): Promise<{ load: number; availableGb: number }> {
  const [load, available] = await Promise.all([si.currentLoad(), availableBytes(process.platform)])
  return { load: Math.round(load.currentLoad * 10) / 10, availableGb: gigabytes(available) }
}

/** On Windows Node knows it; `systeminformation` would start a PowerShell each time. On macOS Node counts free pages alone. */
async function availableBytes(platform: NodeJS.Platform): Promise<number> {
  return platform === 'win32' ? freemem() : (await si.mem()).available
}

/** Memory that the processes of this machine may have: less in a container with a limit. */
export const RAM_BYTES = Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY)

function gigabytes(bytes: number): number {
  return Math.round((bytes / GIB) * 100) / 100
}
