import { Readable } from 'node:stream'
import type { BlobStore } from '@sc/shared/blobs/store.ts'
import { ScError } from '@sc/shared/errors.ts'
import { MODELS } from '@sc/shared/models.ts'
import { LARGE_INPUTS } from '@sc/shared/unit.ts'
import { z } from 'zod'
import { openModelBlobs } from '../../cluster/model-blobs.ts'
import type { App, AppDeps } from '../app-deps.ts'
import { callerOf } from '../auth.ts'
import { endWhenUnread } from '../disconnect.ts'
import { createOpenBlobs } from '../open-blobs.ts'
import { problems } from '../problem.ts'

/** `GET /blobs/{key}`: the inputs of units, and speech models, for enrolled workers and nobody else. */
export function addBlobs(app: App, { db, blobs, config, tickets }: AppDeps): void {
  const models = openModelBlobs(config.modelsDir)
  const openBlobs = createOpenBlobs()

  async function find(
    name: string,
    workerId: string | null
  ): Promise<{ store: Pick<BlobStore, 'get' | 'size'>; key: string }> {
    if (name.startsWith('units/')) return { store: blobs, key: name }
    if (name.startsWith(MODELS)) return { store: models, key: name }
    if (name.startsWith(LARGE_INPUTS)) return { store: blobs, key: await findInput(name, workerId) }
    throw new ScError('SC_NOT_FOUND', 'Only inputs of units and models are given out here.')
  }

  /** Of a unit that this worker was given. */
  async function findInput(name: string, workerId: string | null): Promise<string> {
    const [unitId = '', ticket = ''] = name.slice(LARGE_INPUTS.length).split('/')
    const isGiven = workerId !== null && tickets.isUnit(ticket, workerId, unitId)
    const unit = isGiven
      ? await db.selectFrom('units').select(['input_ref', 'input_sha256']).where('id', '=', unitId).executeTakeFirst()
      : undefined
    if (!unit?.input_ref || unit.input_sha256 === null)
      throw new ScError('SC_NOT_FOUND', `There is no large input of unit "${unitId}" for this worker.`)
    return unit.input_ref
  }

  app.get('/blobs/*', {
    config: { scope: 'worker' },
    schema: {
      summary: 'Bytes of a unit’s input, or of a speech model',
      description: 'One range of bytes may be asked for.',
      tags: ['blobs'],
      params: z.object({ '*': z.string().max(600) }),
      response: {
        200: { description: 'All bytes', content: BYTES },
        206: { description: 'The range that was asked for', content: BYTES },
        416: { description: 'The blob is shorter', content: BYTES },
        ...problems('SC_NOT_FOUND')
      }
    },
    handler: async (request, reply) => {
      openBlobs.enter(callerOf(request).keyId, reply)
      const { store, key } = await find(request.params['*'], callerOf(request).workerId)
      const size = await store.size(key)
      reply.header('accept-ranges', 'bytes').type('application/octet-stream')
      const range = parseRange(request.headers.range, size)
      if (range === 'none') {
        reply.status(416).header('content-range', `bytes */${size}`)
        return reply.send(Buffer.alloc(0))
      }
      const { start, end } = range ?? { start: 0, end: size }
      if (range) reply.status(206).header('content-range', `bytes ${start}-${end - 1}/${size}`)
      reply.header('content-length', `${end - start}`)
      // An empty stream: anything else would set a length of its own.
      if (request.method === 'HEAD') return reply.send(Readable.from([]))
      endWhenUnread(reply.raw)
      return reply.send(await store.get(key, { start, end, signal: app.whileAllowed(request, reply) }))
    }
  })
}

const BYTES = { 'application/octet-stream': { schema: z.any().meta({ type: 'string', format: 'binary' }) } }

/** Undefined: everything (no range, or several, or another unit, which may be ignored); `none`: beyond the end. */
function parseRange(header: string | undefined, size: number): { start: number; end: number } | 'none' | undefined {
  const [, from = '', to = ''] = /^bytes=(\d*)-(\d*)$/.exec(header ?? '') ?? []
  if (!from && !to) return undefined
  if (!from) return Number(to) === 0 || size === 0 ? 'none' : { start: Math.max(0, size - Number(to)), end: size }
  const start = Number(from)
  const end = to ? Math.min(Number(to) + 1, size) : size
  // A last byte before the first is no range at all.
  if (to && Number(to) < start) return undefined
  return start < size ? { start, end } : 'none'
}
