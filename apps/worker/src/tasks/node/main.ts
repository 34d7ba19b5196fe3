/** The Node process of a slot: the tasks of TypeScript and JavaScript files, behind the line protocol. */
import { createSend } from '@sc/shared/children/send.ts'
import { serveUserCode } from '@sc/shared/children/serve-user-code.ts'
import type { FromChildLine } from '@sc/shared/python-protocol.ts'
import { serve } from './serve.ts'

serveUserCode(serve(createSend<FromChildLine>(({ type }) => type === 'result')))
