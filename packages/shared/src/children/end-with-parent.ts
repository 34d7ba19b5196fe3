import { Worker } from 'node:worker_threads'

const LOOK_EVERY_MS = 1_000

/**
 * The end of what the parent sends ends the process, but a task that computes without a pause does not let it be seen: a
 * thread of its own looks whether the parent is still there. On Windows the system ends a process's children with it (libuv
 * puts them into a job object), and the number of a parent stays after its end.
 */
export function endWithParent(): void {
  if (process.platform === 'win32') return
  const code = `setInterval(() => process.ppid === ${process.ppid} || process.kill(process.pid, 'SIGKILL'), ${LOOK_EVERY_MS})`
  new Worker(code, { eval: true }).unref()
}
