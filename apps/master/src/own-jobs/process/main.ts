/** The process with the jobs of the user's own: their plans and merges, behind the lines of `../protocol.ts`. */
import { takeConsole } from '@sc/shared/children/console.ts'
import { endWithParent } from '@sc/shared/children/end-with-parent.ts'
import { createLineSplitter } from '@sc/shared/children/lines.ts'
import { createSend } from '@sc/shared/children/send.ts'
import type { FromProcess } from '../protocol.ts'
import { serveJobs } from './serve-jobs.ts'

const exit = process.exit.bind(process)
// Ctrl-C in a terminal reaches the whole group; the master decides when its jobs end.
process.on('SIGINT', () => {})
endWithParent()
const server = serveJobs(createSend<FromProcess>(() => false))
takeConsole(server.log)
process.on('unhandledRejection', server.onStray)
process.on('uncaughtException', server.onStray)
process.exit = server.refuseExit
process.stdin
  .on(
    'data',
    createLineSplitter(server.onLine, () => exit(1))
  )
  .on('end', () => exit(0))
