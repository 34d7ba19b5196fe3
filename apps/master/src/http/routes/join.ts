import { joinAnswer, NO_CODE_YET } from '../../cluster/join-command.ts'
import { createOpenCodes } from '../../cluster/open-codes.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { callerIdOf, callerOf } from '../auth.ts'
import { problems } from '../problem.ts'
import { joinSchema } from '../schemas.ts'

const tags = ['cluster']

/** How another machine becomes a worker: a line to paste there, with a code that is good once. */
export function addJoin(app: App, { access, db, place }: Pick<AppDeps, 'access' | 'db' | 'place'>): void {
  const codes = createOpenCodes({ db, access })

  app.get('/api/cluster/join', {
    config: { scope: 'admin' },
    schema: {
      summary: 'What to paste on another machine',
      description:
        'The line has the code that this caller made last, as long as it is good. With a key in `Authorization`, one is made where there is none. A session of a browser gets none this way, since any page can have a browser send it: the line then has USER:SECRET in its place, and `expiresAt` is null.',
      tags,
      response: { 200: joinSchema, ...problems() }
    },
    handler: async (request, reply) => {
      reply.header('cache-control', 'no-store')
      if (!access.hasUsers) return joinAnswer(place(), null)
      const caller = callerIdOf(request)
      const mayMake = callerOf(request).sessionId === null
      const code = (await codes.find(caller)) ?? (mayMake ? await codes.make(caller) : null)
      return joinAnswer(place(), code, NO_CODE_YET)
    }
  })

  app.post('/api/cluster/join-codes', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Make a join code',
      description: 'The line has a code that lets one worker in, within 15 minutes; each call makes another.',
      tags,
      response: { 201: joinSchema, ...problems() }
    },
    handler: async (request, reply) => {
      const code = access.hasUsers ? await codes.make(callerIdOf(request)) : null
      return reply.status(201).header('cache-control', 'no-store').send(joinAnswer(place(), code))
    }
  })
}
