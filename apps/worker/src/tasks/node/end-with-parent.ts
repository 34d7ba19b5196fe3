import { Worker } from 'node:worker_threads'

const LOOK_EVERY_MS = 1_000

/**
 * The end of stdin ends the process, but a task that computes without a pause does not let it be seen: a thread of its own
 * looks whether the worker is still the parent.
 */
export function endWithParent(): void {
  const code = `setInterval(() => process.ppid === ${process.ppid} || process.kill(process.pid, 'SIGKILL'), ${LOOK_EVERY_MS})`
  new Worker(code, { eval: true }).unref()
}
