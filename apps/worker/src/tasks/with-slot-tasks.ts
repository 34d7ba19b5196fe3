import type { Logger } from '@sc/shared/log.ts'
import { PythonChild, type Ready } from './child.ts'
import { type Device, pythonCommand, pythonEnv } from './command.ts'

/** Starts a Python process for one use, and ends it. */
export async function withChild<T>(
  options: { device: Device; modelsDir: string; log: Logger },
  use: (child: PythonChild, ready: Ready) => Promise<T>
): Promise<T> {
  const child = new PythonChild({ ...options, command: pythonCommand(), env: pythonEnv(options.device, 1) })
  try {
    return await use(child, await child.ready)
  } finally {
    await child.stop()
  }
}
