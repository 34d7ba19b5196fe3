/** The Node process of a slot: the tasks of TypeScript and JavaScript files, behind the line protocol. */

import { takeConsole } from '@sc/shared/children/console.ts'
import { endWithParent } from '@sc/shared/children/end-with-parent.ts'
import { createLineSplitter } from '@sc/shared/children/lines.ts'
import { createSend } from '@sc/shared/children/send.ts'
import type { FromChildLine } from '@sc/shared/python-protocol.ts'
import { serve } from './serve.ts'

const exit = process.exit.bind(process)
// Ctrl-C in a terminal reaches the whole group; the worker decides when its slots end.
process.on('SIGINT', () => {})
endWithParent()
const server = serve(createSend<FromChildLine>(({ type }) => type === 'result'))
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
