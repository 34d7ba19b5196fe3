/**
 * `--exit-with-parent`: a process started with a pipe as stdin stops, as on SIGTERM, when the pipe closes. The kernel
 * closes it also when the parent dies by `kill -9`, so nothing is left running. Nothing is ever read from the pipe.
 *
 * Call it after the handlers of SIGTERM are in place. Closing the pipe while the process is stopping already counts as
 * a second SIGTERM: a parent that wants a drain keeps the pipe open until the child has ended.
 */
export const EXIT_WITH_PARENT_FLAG = '--exit-with-parent'

export function exitWithParent(stop: () => void = () => process.kill(process.pid, 'SIGTERM')): void {
  const { stdin } = process
  let stopped = false
  const stopOnce = (): void => {
    if (stopped) return
    stopped = true
    stop()
  }
  for (const event of ['end', 'close', 'error']) stdin.on(event, stopOnce)
  stdin.resume()
  // A pipe that is listened to would keep a finished process alive.
  stdin.unref?.()
}
