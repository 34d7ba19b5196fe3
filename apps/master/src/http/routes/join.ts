import { joinAnswer } from '../../cluster/join-command.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { problems } from '../problem.ts'
import { joinSchema } from '../schemas.ts'

const tags = ['cluster']

/** How another machine becomes a worker: a line to paste there, with a code that is good once. */
export function addJoin(app: App, { access, place }: Pick<AppDeps, 'access' | 'place'>): void {
  const answer = async () => joinAnswer(place(), access.hasUsers ? await access.createJoinCode() : null)
  const description = 'The line has a code that lets one worker in, within 15 minutes; each call makes another.'

  app.get('/api/cluster/join', {
    config: { scope: 'admin' },
    schema: {
      summary: 'What to paste on another machine',
      description,
      tags,
      response: { 200: joinSchema, ...problems('SC_RATE_LIMITED') }
    },
    handler: async (_request, reply) => reply.header('cache-control', 'no-store').send(await answer())
  })

  app.post('/api/cluster/join-codes', {
    config: { scope: 'admin' },
    schema: {
      summary: 'Make a join code',
      description,
      tags,
      response: { 201: joinSchema, ...problems('SC_RATE_LIMITED') }
    },
    handler: async (_request, reply) =>
      reply
        .status(201)
        .header('cache-control', 'no-store')
        .send(await answer())
  })
}
