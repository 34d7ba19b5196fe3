import { ScError } from '@sc/shared/errors.ts'
import { z } from 'zod'
import type { App } from './app-deps.ts'

/** Pages and their files may be opened by addresses that others have added to. */
const OF_THE_API = /^\/(api\/|transcribe\b)/

/** A name in the query that the route does not have is refused: ignored, it would lie in the answer. */
export function addStrictQuery(app: App): void {
  app.addHook('preValidation', async request => {
    const names = Object.keys(request.query ?? {})
    const { url = '', schema } = request.routeOptions
    if (names.length === 0 || !OF_THE_API.test(url)) return
    const { querystring } = schema ?? {}
    const known = querystring instanceof z.ZodObject ? Object.keys(querystring.shape) : []
    const unknown = names.filter(name => !known.includes(name))
    if (unknown.length === 0) return
    const has = known.length > 0 ? `there are ${known.join(', ')}` : 'it has none'
    throw new ScError('SC_BAD_REQUEST', `The query of ${url} has no ${unknown.join(', ')}: ${has}.`)
  })
}
