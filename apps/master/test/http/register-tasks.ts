import { type Presence, presenceSchema } from '@sc/shared/presence.ts'
import type { TaskDescription } from '@sc/shared/python-protocol.ts'
import { PROTOCOL_VERSION, presenceKey } from '@sc/shared/redis-keys.ts'
import type { TestApp } from './start-app.ts'

export const WORD_COUNT: TaskDescription = {
  name: 'word-count',
  description: 'Counts words',
  gpu: false,
  vramGb: 0,
  features: [],
  builtIn: false,
  inputSchema: {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    properties: {
      text: { type: 'string', minLength: 1 },
      language: { enum: ['de', 'en'] },
      since: { type: 'string', format: 'date-time' },
      options: { $ref: '#/$defs/Options' }
    },
    required: ['text'],
    additionalProperties: false,
    $defs: { Options: { type: 'object', properties: { deep: { type: 'integer' } }, required: ['deep'] } }
  },
  outputSchema: { type: 'object', properties: { words: { type: 'integer' } } }
}

/** A worker as enrolment and its first message leave it, said to be there. */
export async function registerTasks(
  { deps }: TestApp,
  id: string,
  tasks: TaskDescription[],
  { at = new Date(), ...presence }: Partial<Presence> & { at?: Date; offline?: boolean } = {}
): Promise<void> {
  await deps.db
    .insertInto('workers')
    .values({ id, name: id, hostname: 'desk', tasks: JSON.stringify(tasks), tasks_at: at })
    .execute()
  const row = presenceSchema.parse({ ...PRESENCE, id, name: id, tasks: tasks.map(({ name }) => name), ...presence })
  if (presence.offline) {
    const saved = { presence: JSON.stringify(row), last_seen: new Date(Date.now() - 3 * 3_600_000) }
    await deps.db.updateTable('workers').set(saved).where('id', '=', id).execute()
  } else {
    await deps.redis.set(presenceKey(id), JSON.stringify(row), 'PX', 600_000)
  }
}

/** What a worker without a GPU says of itself. */
export const PRESENCE: Presence = {
  id: '',
  name: '',
  hostname: 'desk',
  status: 'online',
  reason: null,
  version: '0.1.0',
  protocol: PROTOCOL_VERSION,
  os: 'Linux',
  cpu: { model: 'a CPU', cores: 4, threads: 8, ghz: 3.5, load: 0.5 },
  ram: { totalGb: 16, availableGb: 8 },
  gpus: [],
  libraries: {},
  tailscale: null,
  address: null,
  brokerRttMs: null,
  queues: ['cpu'],
  slots: [{ id: 'cpu0', device: 'cpu', state: 'idle', unitId: null, reason: null }],
  tasks: [],
  models: [],
  findings: [],
  figures: { unitsDone: 3, unitsFailed: 1, rssBytes: 100, pythonRssBytes: 200 }
}
