import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Check, failed, type Outcome, ok, warning } from '@sc/shared/doctor/finding.ts'
import type { Gpu } from '@sc/shared/presence.ts'
import { execa } from 'execa'
import { probeGpus } from '../probe/gpus.ts'
import { pythonCommand, pythonTestEnv } from '../python/command.ts'

/** What this machine brings: GPUs with their driver and libraries. */
const CUDA_LIMIT_MS = 60_000
const INSTALL = 'Run `node bootstrap/install.mjs` in the folder of this project.'

/** Asked of the environment's own Python, which finds libraries as a slot's process does. */
const CUDA_PROGRAM = `
import json
import ctranslate2
from sc_gpu.cuda_libraries import why_cublas_is_missing
answer = {"version": ctranslate2.__version__, "devices": ctranslate2.get_cuda_device_count(), "types": [], "missing": None}
if answer["devices"]:
    answer["types"] = sorted(ctranslate2.get_supported_compute_types("cuda"))
    answer["missing"] = why_cublas_is_missing()
print(json.dumps(answer))
`

export function checkGpus(): Check[] {
  let gpus: Gpu[] = []
  return [
    checkCards(found => {
      gpus = found
    }),
    {
      name: 'driver',
      look: async () => {
        const drivers = [...new Set(gpus.map(gpu => gpu.driver))]
        return ok(drivers.length > 0 ? drivers.join(', ') : 'none needed')
      },
      next: 'Look whether `nvidia-smi` answers.'
    },
    {
      name: 'cuda libraries',
      look: async () => (gpus.length > 0 ? cudaOutcome(await askCuda()) : ok('none needed')),
      next: INSTALL
    }
  ]
}

/** Cheap: starts `nvidia-smi` and no more. */
export function checkCards(onGpus: (gpus: Gpu[]) => void = () => {}): Check {
  return {
    name: 'gpus',
    look: async () => {
      const gpus = await probeGpus()
      onGpus(gpus)
      if (gpus.length > 0) return ok(gpus.map(gpu => `${gpu.name} ${gpu.vramTotalGb} GB`).join(', '))
      if (await hasNvidiaCard())
        return warning(
          'there is an NVIDIA card, and nvidia-smi does not answer',
          "Install NVIDIA's driver, or repair it: `nvidia-smi` must list the card. Until then this machine works on its CPU."
        )
      return ok('none: this machine works on its CPU')
    },
    next: 'Look whether `nvidia-smi` answers.'
  }
}

const cudaSays = (text: string): { version: string; devices: number; types: string[]; missing: string | null } =>
  JSON.parse(text)

export async function askCuda(): Promise<string> {
  const options = { timeout: CUDA_LIMIT_MS, env: pythonTestEnv(), extendEnv: false, stdin: 'ignore' } as const
  return (await execa(pythonCommand().file, ['-c', CUDA_PROGRAM], options)).stdout
}

export function cudaOutcome(text: string): Outcome {
  const { version, devices, types, missing } = cudaSays(text)
  if (devices === 0)
    return failed(
      `CTranslate2 ${version} sees no CUDA device, though nvidia-smi does`,
      'Update the driver: CTranslate2 needs one for CUDA 12 (525 or later). In a container, start it with its GPUs.'
    )
  if (missing !== null)
    return failed(
      `cuBLAS cannot be loaded: ${missing}`,
      `${INSTALL} With a GPU it installs cuBLAS among the Python packages, where a slot looks first, then among the libraries of the system.`
    )
  return ok(`CTranslate2 ${version} with ${devices} device${devices > 1 ? 's' : ''} and ${types.join(', ')}`)
}

async function hasNvidiaCard(): Promise<boolean> {
  const folder = '/sys/bus/pci/devices'
  for (const device of await readdir(folder).catch(() => [])) {
    const read = (name: string) => readFile(join(folder, device, name), 'utf8').catch(() => '')
    if ((await read('vendor')).trim() === '0x10de' && (await read('class')).startsWith('0x03')) return true
  }
  return false
}
