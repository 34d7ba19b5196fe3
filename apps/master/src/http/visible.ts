import { ScError } from '@sc/shared/errors.ts'
import type { FastifyRequest } from 'fastify'
import type { Database } from '../database/schema.ts'
import type { Owner } from '../jobs/owner.ts'
import type { App } from './app-deps.ts'
import { callerOf } from './auth.ts'
import { type Identity, mayDo } from './identity.ts'

/**
 * A key that may submit and not read sees and changes its own jobs, schedules and deliveries of webhooks; those of others
 * do not exist for it. What a route names in its address is checked here, before the handler of any route; a route that
 * lists or counts asks with `ownerOf`. Routes with the scope `read` are open to such a key only where they say `own`.
 */
export function addVisibility(app: App, { db }: { db: Database }): void {
  app.addHook('onRequest', async request => {
    if (request.identity === null) return
    const owner = ownerSeenBy(request.identity)
    if (owner === null) return
    for (const [param, table] of NAMED) {
      const id = (request.params as Record<string, unknown>)[param]
      if (typeof id === 'string' && !(await isOwn(db, table, id, owner)))
        throw new ScError('SC_NOT_FOUND', `There is no ${param.replace('Id', '')} "${id}".`)
    }
  })
}

const NAMED = [
  ['jobId', 'jobs'],
  ['scheduleId', 'schedules'],
  ['deliveryId', 'webhook_deliveries']
] as const

/** Whose jobs and schedules the caller of a route sees. */
export function ownerOf(request: FastifyRequest): Owner {
  return ownerSeenBy(callerOf(request))
}

function ownerSeenBy(identity: Identity): Owner {
  return mayDo(identity, 'read') ? null : identity.keyId
}

async function isOwn(db: Database, table: (typeof NAMED)[number][1], id: string, owner: string): Promise<boolean> {
  const row = await db.selectFrom(table).select('key_id').where('id', '=', id).executeTakeFirst()
  return row?.key_id === owner
}
