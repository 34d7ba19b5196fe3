/** The process with the jobs of the user's own: their plans and merges, behind the lines of `../protocol.ts`. */
import { createSend } from '@sc/shared/children/send.ts'
import { serveUserCode } from '@sc/shared/children/serve-user-code.ts'
import type { FromProcess } from '../protocol.ts'
import { serveJobs } from './serve-jobs.ts'

serveUserCode(serveJobs(createSend<FromProcess>(() => false)))
