import { cpus } from 'node:os'
import { join } from 'node:path'
import type { Command } from '@sc/shared/children/process-group.ts'
import { childEnv, REPO_DIR } from '@sc/shared/config.ts'

/** The project's own Python environment and the process of `python-gpu`. */
export function pythonCommand(repoDir: string = REPO_DIR, platform: NodeJS.Platform = process.platform): Command {
  const file = join(repoDir, '.venv', ...(platform === 'win32' ? ['Scripts', 'python.exe'] : ['bin', 'python']))
  return { file, args: ['-u', join(repoDir, 'python-gpu', 'main.py')], cwd: repoDir }
}

/** `cpu`, or the UUID of the one GPU that the process may see. */
export type Device = string

/**
 * Decoding takes and frees large blocks all the time. glibc gives each back to the system at once, and two million page
 * faults for 5 min of speech are a tenth of its time: it may keep 256 MB, in one arena, in huge pages. Others ignore it.
 */
const MALLOC = [
  'glibc.malloc.hugetlb=1',
  'glibc.malloc.mmap_threshold=268435456',
  'glibc.malloc.trim_threshold=268435456',
  'glibc.malloc.arena_max=1'
].join(':')

/** Else what a task prints, and the files that it opens, would be in the code page of a Windows. */
const UTF8 = { PYTHONUTF8: '1' }

/** The environment of a slot's process; CPU slots share the cores evenly. */
export function pythonEnv(device: Device, cpuSlots: number): Record<string, string> {
  if (device !== 'cpu') return childEnv({ ...UTF8, CUDA_VISIBLE_DEVICES: device })
  const threads = Math.max(1, Math.floor(cpus().length / Math.max(1, cpuSlots)))
  // Who sets OMP_NUM_THREADS for the worker means its slots.
  return {
    OMP_NUM_THREADS: String(threads),
    GLIBC_TUNABLES: MALLOC,
    ...childEnv({ ...UTF8, CUDA_VISIBLE_DEVICES: '' })
  }
}

/** Python's own test runner, on `test_*.py` files of the tasks folder. */
export function pythonTestCommand(files: string[], tasksDir: string): Command {
  return { file: pythonCommand().file, args: ['-m', 'unittest', ...files], cwd: tasksDir }
}

/** With `sc_gpu` as the tests import it. */
export function pythonTestEnv(): Record<string, string> {
  return childEnv({ ...UTF8, PYTHONPATH: join(REPO_DIR, 'python-gpu') })
}
