import { Socket } from 'node:net'
import type { LogLevel } from '../define-task.ts'
import { killProcess, startedBy } from '../processes.ts'
import { takeConsole } from './console.ts'
import { endWithParent } from './end-with-parent.ts'
import { createLineSplitter } from './lines.ts'
import { PROTOCOL_FDS } from './node-command.ts'

/** What runs a user's code in a process of its own, behind lines. */
export interface UserCodeServer {
  onLine(line: string): void
  /** Into the log of the run that goes on. */
  log(level: LogLevel, message: string): void
  /** A rejection or an error that nobody caught. */
  onStray(thrown: unknown): void
  /** In place of `process.exit`. */
  refuseExit(code?: number | string | null): never
}

/** A user's code may not end the process; this may. */
const exit = process.exit.bind(process)

/** Feeds a server with the lines that come, until they end. */
export function serveUserCode(server: UserCodeServer): void {
  // Ctrl-C in a terminal reaches the whole group; the parent decides when its children end.
  process.on('SIGINT', () => {})
  endWithParent()
  takeConsole(server.log)
  process.on('unhandledRejection', server.onStray)
  process.on('uncaughtException', server.onStray)
  process.exit = server.refuseExit
  // Not stdin, which a user's code and the programs that it starts may read: that one is empty.
  new Socket({ fd: PROTOCOL_FDS.in })
    .on(
      'data',
      createLineSplitter(server.onLine, () => exit(1))
    )
    .on('end', () => {
      // Whoever would end what a user's code started is gone.
      for (const one of startedBy(process.pid)) killProcess(one)
      exit(0)
    })
}
