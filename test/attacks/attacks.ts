import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import type { InboxMessage } from '@sc/shared/inbox-message.ts'
import { pause } from '@sc/shared/pause.ts'
import type { Redis } from '@sc/shared/redis.ts'
import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'

/** What somebody does with a worker's login, for as long as it is let: each a way that once stopped a cluster, or could. */
export interface Attack {
  name: string
  /** Resolves when it is over, or refused; `signal` ends one that would go on. */
  run(thief: Thief, signal: AbortSignal): Promise<unknown>
  /**
   * What becomes of it: `refused` by Redis; `dropped` by the master, with a word of the doctor; `quarantined`: the login is off;
   * `borne`: it is what a worker may do, and costs its author its own share. A pattern, where the doctor says something of it.
   */
  outcome: 'refused' | 'dropped' | 'quarantined' | 'borne'
  doctor?: RegExp
}

/** A worker's login in wrong hands. */
export interface Thief {
  redis: Redis
  /** Its own id, and that of a worker it would hurt. */
  id: string
  victim: string
  /** A unit that the victim was given. */
  unitId: string
  /** A task of the victim's, as it registered it. */
  task: { name: string }
  /** Has somebody ask for a task; false: none is known by this name. */
  submit(task: string): Promise<boolean>
}

const MEGABYTE = 1024 ** 2
const LAST_ID = '18446744073709551615-18446744073709551615'
const out = (id: string): string => `sc:out:${id}`
const presence = (id: string): string => `sc:presence:${id}`

/** Redis says that the login may not. */
async function refused(redis: Redis, ...commands: string[][]): Promise<void> {
  for (const words of commands) {
    const answer = await redis.call(words[0] as string, ...words.slice(1)).catch((error: Error) => error.message)
    if (!/^NOPERM/.test(String(answer))) throw new Error(`${words.join(' ')} was not refused: ${String(answer)}`)
  }
}

/** Again and again until the signal, or until Redis ends the login. */
async function again(signal: AbortSignal, step: () => Promise<unknown>): Promise<void> {
  // A command of a login that is off waits for ever.
  const over = new Promise(resolve => signal.addEventListener('abort', resolve, { once: true }))
  while (!signal.aborted) {
    try {
      await Promise.race([step(), over])
    } catch {
      // The login is off, or the connection was ended: it comes back or not.
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  }
}

const add = (redis: Redis, id: string, text: string): Promise<unknown> => redis.xadd(out(id), '*', 'm', text)

const WAIT_NONE = { name: 'wait-none', description: '', gpu: false, vramGb: 0, features: [], builtIn: false }
const TIMINGS = { waited: 0, fetched: 0, ran: 1, reported: 0 }

type Given = Extract<InboxMessage, { type: 'units' }>

/** Shows itself, registers a task, the victim's or one of its own, and asks for its units in the name of so many slots. */
async function ask(thief: Thief, instance: string, want: number, slots: number, name?: string): Promise<void> {
  const { redis, id } = thief
  await redis.set(presence(id), JSON.stringify({ ...PRESENCE, id }), 'PX', 9_000)
  await askUnseen(thief, instance, want, slots, name)
}

async function askUnseen(
  { redis, id, task }: Thief,
  instance: string,
  want: number,
  slots: number,
  name = task.name
): Promise<void> {
  const tasks = [{ ...task, name }]
  if (want === 1) await add(redis, id, JSON.stringify([{ type: 'registered', tasks, classes: ['cpu'] }]))
  const wants = Array.from({ length: slots }, (_, at) => ({ slot: `s${at}`, want, queues: [`cpu+${name}`] }))
  await add(redis, id, JSON.stringify([{ type: 'state', instance, holding: [], wants }]))
}

/** What it was given since it last looked. */
async function given({ redis, id }: Thief): Promise<Given[]> {
  const reply = await redis.blmpop(0.01, 1, `sc:in:${id}`, 'LEFT', 'COUNT', 100)
  return (reply?.[1] ?? []).flatMap(text =>
    (JSON.parse(text) as InboxMessage[]).filter(message => message.type === 'units')
  )
}

/** Until the signal. */
async function step(signal: AbortSignal, everyMs: number, take: (round: number) => Promise<unknown>): Promise<void> {
  for (let round = 1; !signal.aborted; round++) {
    await take(round)
    await pause(everyMs, signal)
  }
}

const NEVER = new AbortController().signal
const LEAST_MS = 2_000
const GIVEN_WITHIN_MS = 15_000

/** Messages of a unit that it was given and has ended, a thousand in each entry; until the signal, and for a while at least. */
function afterItsEnd(type: string, more: object, times = 1_000): Attack['run'] {
  return async (thief, signal) => {
    const { redis, id } = thief
    const { first, tickets, slot } = await ownUnit(thief)
    const about = { unitId: first.unitId, attemptId: 'a', ticket: tickets[0], slot }
    await add(redis, id, JSON.stringify([{ type: 'result', ...about, output: {}, timings: TIMINGS }]))
    const text = JSON.stringify(Array(times).fill({ type, ...about, ...more }))
    const leastMs = performance.now() + LEAST_MS
    while (!signal.aborted || performance.now() < leastMs) {
      await add(redis, id, text)
      await pause(50, NEVER)
    }
  }
}

/** A message that is too long for one entry. */
async function addInParts({ redis, id }: Thief, text: string): Promise<void> {
  const parts = text.match(/.{1,900000}/gs) ?? []
  for (const [at, part] of parts.entries()) await redis.xadd(out(id), '*', 'm', part, 'p', `${at}/${parts.length}`)
}

/** A unit of a task that nobody else has. */
async function ownUnit(thief: Thief): Promise<Given> {
  const name = `own-${thief.id.toLowerCase()}`
  const endMs = performance.now() + GIVEN_WITHIN_MS
  let isAsked = false
  for (let round = 1; performance.now() < endMs; round++) {
    await ask(thief, 'i', round, 1, name)
    if (!isAsked) isAsked = await thief.submit(name)
    const [one] = await given(thief)
    if (one) return one
    await pause(100, NEVER)
  }
  throw new Error('it was given nothing')
}

/** Raw connections that log in and do nothing; held until the signal. */
async function holdConnections({ redis }: Thief, count: number, signal: AbortSignal): Promise<void> {
  const { host = '', port = 0, username = '', password = '' } = redis.options
  const sockets = Array.from({ length: count }, () => {
    const socket = connect(port, host)
    socket.on('error', () => {})
    socket.write(`AUTH ${username} ${password}\r\n`)
    return socket
  })
  if (!signal.aborted) await once(signal, 'abort')
  for (const socket of sockets) socket.destroy()
}

const PRESENCE = {
  hostname: 'elsewhere',
  name: 'x',
  status: 'online',
  version: '0',
  protocol: PROTOCOL_VERSION,
  os: 'x',
  cpu: { model: 'x', cores: 1, threads: 1, ghz: 1, load: 0 },
  ram: { totalGb: 1, availableGb: 1 },
  gpus: [],
  libraries: {},
  tailscale: null,
  queues: [],
  slots: [],
  tasks: [],
  figures: { unitsDone: 0, unitsFailed: 0, rssBytes: 0, pythonRssBytes: 0 }
}

export const ATTACKS: Attack[] = [
  {
    name: 'uses up the ids of the enrolment stream, or makes it a text',
    run: ({ redis }) =>
      refused(
        redis,
        ['XADD', 'sc:enrol', LAST_ID, 'a', 'b'],
        ['SET', 'sc:enrol', 'x'],
        ['SET', 'sc:enrol:askers', 'x']
      ),
    outcome: 'refused'
  },
  {
    name: 'has the master delete keys by the children of an entry',
    run: ({ redis }) =>
      refused(redis, ['SADD', 'sc:q:cpu:e:dependencies', 'sc:master'], ['SADD', 'sc:q:cpu+x:e:dependencies', 'x']),
    outcome: 'refused'
  },
  {
    name: 'plants an entry for another worker',
    run: ({ redis }) =>
      refused(
        redis,
        ['EVAL', 'return 1', '0'],
        ['EVALSHA', '0'.repeat(40), '0'],
        ['LPUSH', 'sc:q:cpu:wait', 'x'],
        ['HSET', 'sc:q:cpu:x', 'data', '{}']
      ),
    outcome: 'refused'
  },
  {
    name: 'pauses a queue, and breaks its keys',
    run: ({ redis }) =>
      refused(
        redis,
        ['HSET', 'sc:q:cpu:meta', 'paused', '1'],
        ...['wait', 'prioritized', 'meta', 'marker', 'active', 'id', 'events'].map(key => [
          'SET',
          `sc:q:cpu:${key}`,
          'x'
        ])
      ),
    outcome: 'refused'
  },
  {
    name: 'makes its outbox a text, or takes that of another',
    run: ({ redis, id, victim }) =>
      refused(
        redis,
        ['DEL', out(id)],
        ['SET', out(id), 'x'],
        ['XTRIM', out(id), 'MAXLEN', '0'],
        ['XADD', out(victim), '*', 'm', '[]'],
        ['SET', presence(victim), '{}', 'PX', '9000']
      ),
    outcome: 'refused'
  },
  {
    name: 'fills Redis by SETRANGE',
    run: ({ redis, id }) =>
      refused(
        redis,
        ['SETRANGE', presence(id), '314572800', 'x'],
        ['SETRANGE', `sc:enrol:${id}-junk`, '314572800', 'x'],
        ['APPEND', presence(id), 'x']
      ),
    outcome: 'refused'
  },
  {
    name: 'holds up Redis by a script',
    run: ({ redis }) =>
      refused(redis, ['EVAL', 'while true do end', '0'], ['FUNCTION', 'LOAD', '#!lua name=x\nreturn 1']),
    outcome: 'refused'
  },
  {
    name: 'reads the requests of others, and replays them',
    run: ({ redis }) =>
      refused(
        redis,
        ['XGROUP', 'CREATE', 'sc:enrol', 'mine', '0'],
        ['XCLAIM', 'sc:enrol', 'masters', 'mine', '0', '0-1', 'FORCE'],
        ['GET', 'sc:enrol:ask:join-x'],
        ['GET', 'sc:enrol:answer:join-x']
      ),
    outcome: 'refused'
  },
  {
    name: 'uses up the ids of its own outbox',
    run: ({ redis, id }) => redis.xadd(out(id), LAST_ID, 'm', '[]'),
    outcome: 'dropped',
    doctor: /ids of its outbox are far ahead/
  },
  {
    name: 'answers a unit of another',
    run: ({ redis, id, unitId }) => {
      const about = { unitId, attemptId: randomUUID(), ticket: 'x'.repeat(22), slot: 'cpu0' }
      const timings = { waited: 0, fetched: 0, ran: 1, reported: 0 }
      return add(redis, id, JSON.stringify([{ type: 'result', ...about, output: 'forged', timings }]))
    },
    outcome: 'dropped',
    doctor: /which it was not given/
  },
  {
    name: 'writes what is no message',
    run: async ({ redis, id }) => {
      for (const text of ['', 'x', 'null', '[1]', '[{"type":"want"}]', `${'['.repeat(150_000)}${']'.repeat(150_000)}`])
        await add(redis, id, text)
      await redis.xadd(out(id), '*', 'x', 'y')
      await redis.xadd(out(id), '*', 'm', 'x', 'p', '0/3')
      await redis.xadd(out(id), '*', 'm', 'x', 'p', '7/3')
      await redis.xadd(out(id), '*', 'm', 'x', 'p', '0/1e9')
    },
    outcome: 'dropped',
    doctor: /no worker writes/
  },
  {
    name: 'registers hundreds of thousands of tasks, none of which is one',
    run: async ({ redis, id }) => {
      const text = `[{"type":"registered","tasks":[${'0,'.repeat(100_000)}0]}]`
      for (let round = 0; round < 15; round++) {
        await add(redis, id, text)
        await pause(200, NEVER)
      }
    },
    outcome: 'dropped',
    doctor: /a list of 1000 at most/
  },
  {
    name: 'writes one message of 16 MB that has eight million values',
    run: thief => addInParts(thief, `[{"type":"registered","tasks":[${'0,'.repeat(8_000_000)}0]}]`),
    outcome: 'dropped',
    doctor: /more than 5000000 values/
  },
  {
    name: 'writes one message of 15 MB of objects that have ever other names',
    run: thief => {
      const names = (from: number) => Array.from({ length: 127 }, (_, at) => `"${(from * 7 + at * from) % 95_000}x":1`)
      const objects = Array.from({ length: 10_000 }, (_, at) => `{${[...new Set(names(at))].join()}}`)
      return addInParts(thief, `[{"type":"state","junk":[${objects.join()}]}]`)
    },
    outcome: 'dropped',
    doctor: /different names of fields/
  },
  {
    name: 'writes states of half a million queues',
    run: async ({ redis, id }) => {
      const queues = Array(2_000).fill('')
      const wants = Array.from({ length: 256 }, (_, at) => ({ slot: `s${at}`, want: 1, queues }))
      const text = JSON.stringify([{ type: 'state', instance: 'x', holding: [], wants }])
      for (let round = 0; round < 10; round++) {
        await add(redis, id, text)
        await pause(220, NEVER)
      }
    },
    outcome: 'dropped',
    doctor: /60000 queues/
  },
  {
    name: 'nests a value so deep that walking it ends the stack',
    run: ({ redis, id, unitId }, signal) =>
      again(signal, async () => {
        const fields = `{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}`
        const about = `"unitId":"${unitId}","attemptId":"b","ticket":"","level":"info","message":""`
        await add(redis, id, `[{"type":"log",${about},"fields":${fields}}]`)
        await new Promise(resolve => setTimeout(resolve, 5))
      }),
    outcome: 'quarantined',
    doctor: /quarantined since.*levels/
  },
  {
    name: 'sends entries of thousands of registrations, hellos and states',
    run: ({ redis, id }, signal) =>
      again(signal, async () => {
        for (const one of [
          '{"type":"registered","tasks":[]}',
          '{"type":"hello","instance":"x","hostname":"h","protocol":5,"version":"1"}',
          '{"type":"state","instance":"x","holding":[],"wants":[]}'
        ])
          await add(redis, id, `[${Array(900).fill(one).join(',')}]`)
        await add(redis, id, `[${Array(20_000).fill('{"type":"registered","tasks":[]}').join(',')}]`)
        await new Promise(resolve => setTimeout(resolve, 20))
      }),
    outcome: 'quarantined',
    doctor: /quarantined since/
  },
  {
    name: 'has a presence that PostgreSQL does not keep',
    run: async ({ redis, id }) => {
      const nul = JSON.stringify({ ...PRESENCE, id, hostname: 'a\u0000\ud83d' })
      await redis.set(presence(id), nul, 'PX', 9_000)
    },
    outcome: 'dropped'
  },
  {
    name: 'has a large presence that stays for ever',
    run: ({ redis, id }) => redis.set(presence(id), 'x'.repeat(3 * MEGABYTE)),
    outcome: 'dropped',
    doctor: /its presence/
  },
  {
    name: 'claims entries that it does not hold, and wants of queues that are not its own',
    run: async ({ redis, id }) => {
      const holding = Array.from({ length: 1_000 }, (_, at) => ({
        entry: `e${at}`,
        queue: `q${at}`,
        slot: 's',
        ticket: 'x'
      }))
      const wants = Array.from({ length: 256 }, (_, at) => ({
        slot: `s${at}`,
        want: 1,
        queues: ['plan', 'merge', 'gpu.vram24', 'nope']
      }))
      await add(redis, id, JSON.stringify([{ type: 'state', instance: 'x', holding, wants }]))
    },
    outcome: 'dropped'
  },
  {
    name: 'sends entries of almost 4 MB for as long as it may',
    run: ({ redis, id }, signal) => again(signal, () => add(redis, id, 'x'.repeat(4 * MEGABYTE - 100_000))),
    outcome: 'quarantined',
    doctor: /quarantined since/
  },
  {
    name: 'opens hundreds of connections',
    run: (thief, signal) => holdConnections(thief, 800, signal),
    outcome: 'quarantined',
    doctor: /quarantined since.*connections to Redis/
  },
  {
    name: 'sends small entries as fast as it can',
    run: ({ redis, id }, signal) =>
      again(signal, () => Promise.all(Array.from({ length: 200 }, () => add(redis, id, '[{"type":"log"}]')))),
    outcome: 'quarantined',
    doctor: /quarantined since/
  },
  {
    name: 'begins messages in parts that never end',
    run: ({ redis, id }, signal) =>
      again(signal, () =>
        Promise.all(Array.from({ length: 200 }, () => redis.xadd(out(id), '*', 'm', 'x', 'p', '0/2')))
      ),
    outcome: 'quarantined',
    doctor: /quarantined since.*begins anew/
  },
  {
    name: 'sends entries of thousands of empty fields',
    run: ({ redis, id }, signal) =>
      again(signal, () => redis.xadd(out(id), '*', 'm', '[]', ...Array<string>(40_000).fill(''))),
    outcome: 'quarantined',
    doctor: /quarantined since.*fields/
  },
  {
    name: 'tells of the progress of a unit that has ended, a thousand times in each entry',
    run: afterItsEnd('progress', { fraction: 0.5 }),
    outcome: 'borne'
  },
  {
    name: 'writes logs of a unit that has ended, a thousand in each entry',
    run: afterItsEnd('log', { level: 'info', message: 'x' }),
    outcome: 'borne'
  },
  {
    name: 'writes logs of forty thousand names of fields',
    run: afterItsEnd(
      'log',
      {
        level: 'info',
        message: '',
        fields: Object.fromEntries(Array.from({ length: 40_000 }, (_, at) => [`n${at}`, 0]))
      },
      1
    ),
    outcome: 'borne'
  },
  {
    name: 'repeats the large result of a unit that has ended',
    run: afterItsEnd('result', { output: Array(300_000).fill(1), timings: TIMINGS }, 1),
    outcome: 'borne'
  },
  {
    name: 'says ever something else of a unit that has ended, each to be applied after the other',
    run: async (thief, signal) => {
      const { redis, id } = thief
      const { first, tickets, slot, entry } = await ownUnit(thief)
      const about = { unitId: first.unitId, ticket: tickets[0], slot }
      const log = { type: 'log', ...about, attemptId: 'a', level: 'info', message: 'x' }
      const attempts = ['a', 'b', 'c'].flatMap(attemptId => [
        log,
        { type: 'started', ...about, attemptId, waitedMs: 0 },
        log,
        { type: 'returned', ...about, attemptId, entry, hasBegun: false },
        { type: 'result', ...about, attemptId, output: {}, timings: TIMINGS }
      ])
      const text = JSON.stringify(attempts)
      await step(signal, 10, () => add(redis, id, text))
    },
    outcome: 'borne'
  },
  {
    name: 'answers numbers that PostgreSQL writes with 301 digits, 600 MB of them',
    run: async thief => {
      const { first, tickets, slot } = await ownUnit(thief)
      const about = { type: 'result', unitId: first.unitId, attemptId: 'a', ticket: tickets[0], slot, timings: TIMINGS }
      const text = JSON.stringify([{ ...about, output: 'NUMBERS' }])
      await addInParts(thief, text.replace('"NUMBERS"', `[${Array(2_000_000).fill('1e300').join(',')}]`))
      await pause(LEAST_MS, NEVER)
    },
    outcome: 'borne'
  },
  {
    name: 'takes all units that it can get, and begins none',
    run: async (thief, signal) => {
      const instance = randomUUID()
      await step(signal, 200, round => ask(thief, instance, round, 64))
    },
    outcome: 'borne'
  },
  {
    name: 'shows itself nowhere, and asks for all there is',
    run: async (thief, signal) => {
      const instance = randomUUID()
      await step(signal, 200, async round => {
        await askUnseen(thief, instance, round, 64)
        if ((await given(thief)).length > 0) throw new Error('it was given a unit')
      })
    },
    outcome: 'borne'
  },
  {
    name: 'gives back at once what it takes',
    run: async (thief, signal) => {
      const instance = randomUUID()
      await step(signal, 20, async round => {
        if (round % 10 === 1) await ask(thief, instance, round, 64)
        const returned = (await given(thief)).map(({ first, tickets, slot, entry }) => ({
          ...{ type: 'returned', unitId: first.unitId, attemptId: randomUUID(), ticket: tickets[0] },
          ...{ slot, entry, hasBegun: false }
        }))
        if (returned.length > 0) await add(thief.redis, thief.id, JSON.stringify(returned))
      })
    },
    outcome: 'borne'
  },
  {
    name: 'begins each unit that it takes, and gives it back at once',
    run: async (thief, signal) => {
      const instance = randomUUID()
      await step(signal, 20, async round => {
        if (round % 10 === 1) await ask(thief, instance, round, 64)
        const said = (await given(thief)).flatMap(({ first, tickets, slot, entry }) => {
          const about = { unitId: first.unitId, attemptId: randomUUID(), ticket: tickets[0], slot }
          return [
            { type: 'started', ...about, waitedMs: 0 },
            { type: 'returned', ...about, entry, hasBegun: true }
          ]
        })
        if (said.length > 0) await add(thief.redis, thief.id, JSON.stringify(said))
      })
    },
    outcome: 'borne'
  },
  {
    name: 'answers each unit that it takes by an error of an attempt that never began',
    run: async (thief, signal) => {
      const instance = randomUUID()
      const error = { code: 'SC_TASK_FAILED', title: '', detail: '' }
      await step(signal, 20, async round => {
        if (round % 10 === 1) await ask(thief, instance, round, 64)
        const said = (await given(thief)).map(({ first, tickets, slot }) => ({
          ...{ type: 'error', unitId: first.unitId, attemptId: randomUUID(), ticket: tickets[0] },
          ...{ slot, error, retryable: true, timings: TIMINGS }
        }))
        if (said.length > 0) await add(thief.redis, thief.id, JSON.stringify(said))
      })
    },
    outcome: 'borne',
    doctor: /by an attempt that is not the unit's/
  },
  {
    name: 'is another process twice a second, and so loses what it has',
    run: async (thief, signal) => {
      await step(signal, 500, round => ask(thief, randomUUID(), round, 64))
    },
    outcome: 'borne'
  },
  {
    name: 'asks for a thousand queues in the name of each of its slots',
    run: async ({ redis, id }, signal) => {
      const classes = ['gpu', 'gpu.vram6', 'gpu.vram8', 'gpu.vram12', 'gpu.vram24']
      const names = Array.from({ length: 200 }, (_, at) => `t${at}`)
      const tasks = names.map(name => ({ ...WAIT_NONE, name, gpu: true, inputSchema: {}, outputSchema: {} }))
      await add(redis, id, JSON.stringify([{ type: 'registered', tasks, classes }]))
      const queues = classes.flatMap(one => names.map(name => `${one}+${name}`))
      const wants = Array.from({ length: 64 }, (_, at) => ({ slot: `s${at}`, want: 1, queues }))
      await add(redis, id, JSON.stringify([{ type: 'state', instance: 'x', holding: [], wants }]))
      await step(signal, 2, round =>
        add(redis, id, JSON.stringify([{ type: 'want', slot: 'z', want: round, queues: ['x'] }]))
      )
    },
    outcome: 'borne'
  }
]
