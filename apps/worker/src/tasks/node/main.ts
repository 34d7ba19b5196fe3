/** The Node process of a slot: the tasks of TypeScript and JavaScript files, behind the line protocol. */
import { createLineSplitter } from '../lines.ts'
import { takeConsole } from './console.ts'
import { endWithParent } from './end-with-parent.ts'
import { createSend } from './send.ts'
import { serve } from './serve.ts'

// Ctrl-C in a terminal reaches the whole group; the worker decides when its slots end.
process.on('SIGINT', () => {})
endWithParent()
const server = serve(createSend())
takeConsole(server.log)
process.stdin
  .on(
    'data',
    createLineSplitter(server.onLine, () => process.exit(1))
  )
  .on('end', () => process.exit(0))
