import { PROTOCOL_VERSION } from '@sc/shared/redis-keys.ts'
import { describe, expect, it } from 'vitest'
import type { WorkerRow } from '../../src/cluster/presence.ts'
import { slotsOn } from '../../src/cluster/slots-for.ts'
import { type QueuedUnit, type Waiting, waitingForOf } from '../../src/jobs/waiting-for.ts'

const UNIT: QueuedUnit = { queue: 'cpu', notBefore: null, pauseSeconds: 0, attempts: 0, maxAttempts: 3, error: null }
const QUEUED: Waiting = {
  status: 'PENDING',
  planned: true,
  units: { total: 1, done: 0, running: 0, failed: 0 },
  next: UNIT,
  queuePosition: 0
}
const on = (queue: string): Partial<Waiting> => ({ next: { ...UNIT, queue } })

const slot = (state: string, device = 'cpu', reason: string | null = null) =>
  ({ id: 's', device, state, unitId: null, reason }) as WorkerRow['slots'][number]
const card = (vramTotalGb: number, index = 0) =>
  ({ vramTotalGb, index, uuid: `GPU-${index}` }) as WorkerRow['gpus'][number]
const worker = (name: string, change: Partial<WorkerRow> = {}): WorkerRow =>
  ({
    name,
    status: 'online',
    queues: ['cpu'],
    tasks: [],
    gpus: [],
    slots: [slot('idle')],
    protocol: PROTOCOL_VERSION,
    lastSeen: new Date().toISOString(),
    ...change
  }) as WorkerRow
const hoursAgo = (hours: number): string => new Date(Date.now() - hours * 3_600_000).toISOString()

const OLD = PROTOCOL_VERSION - 1

const cases: Array<[expected: string | null, job: Partial<Waiting>, workers: WorkerRow[]]> = [
  // Nobody is there who could.
  ['waits for a worker: none is online', {}, []],
  ['waits for a worker: none is online', {}, [worker('off', { status: 'offline' })]],
  ['waits for a worker: none is online', on('gpu'), []],
  ['waits for a worker: desk is draining', {}, [worker('desk', { status: 'draining' })]],
  ['waits for a worker on queue cpu: none of the 1 online serves it', {}, [worker('desk', { queues: ['gpu'] })]],

  // Others of another protocol.
  [
    `waits for a worker that speaks the master's protocol ${PROTOCOL_VERSION}: desk (protocol ${OLD}) would serve it, update it`,
    {},
    [worker('desk', { protocol: OLD, status: 'draining' }), worker('card', { queues: ['gpu'] })]
  ],
  [
    `waits for a worker that speaks the master's protocol ${PROTOCOL_VERSION}: a (protocol ${OLD}), b (protocol ${OLD}) would serve it, update one of them`,
    {},
    [worker('a', { protocol: OLD, status: 'offline' }), worker('b', { protocol: OLD, status: 'offline' })]
  ],
  [
    `waits for a worker that speaks the master's protocol ${PROTOCOL_VERSION}: desk (protocol ${PROTOCOL_VERSION + 1}) would serve it, update the master`,
    {},
    [worker('desk', { protocol: PROTOCOL_VERSION + 1, status: 'offline' })]
  ],
  [
    'waits for a worker: none is online',
    {},
    [worker('old', { protocol: OLD, status: 'offline' }), worker('off', { status: 'offline' })]
  ],

  // An LLM server.
  [
    'waits for a worker with a local LLM server: none that is online has one that answers',
    on('llm+chat'),
    [worker('desk', { tasks: ['chat'] })]
  ],
  [
    'waits for one of 1 slot on queue llm+chat',
    on('llm+chat'),
    [worker('desk', { queues: ['cpu', 'llm+chat', 'llm'], slots: [slot('idle'), { ...slot('running'), id: 'llm0' }] })]
  ],

  // A GPU.
  [
    'waits for a GPU: no worker that is online has one',
    on('gpu'),
    [worker('desk'), worker('off', { status: 'offline', gpus: [card(8)] })]
  ],
  [
    'waits for a GPU with 8 GB: the largest online has 6 GB (desk-2)',
    on('gpu.vram8'),
    [
      worker('desk-1', { gpus: [card(4)] }),
      worker('desk-2', { gpus: [card(6)] }),
      worker('big', { status: 'offline', gpus: [card(24)] })
    ]
  ],
  [
    'can never run here: it needs a GPU with 8 GB, and the largest known here has 6 GB (desk-2)',
    on('gpu.vram8'),
    [worker('desk-1', { gpus: [card(4)] }), worker('desk-2', { gpus: [card(6)], status: 'offline' })]
  ],
  ['can never run here: it needs a GPU, and no worker known here has one', on('gpu'), [worker('desk')]],

  // A task that only some workers have.
  [
    'waits for a worker that has the task diarize: none is online (it was last seen on desk-2, 3 h ago)',
    on('gpu.vram8+diarize'),
    [
      worker('desk-1'),
      worker('desk-2', { status: 'offline', tasks: ['diarize'], lastSeen: hoursAgo(3) }),
      worker('desk-3', { status: 'offline', tasks: ['diarize'], lastSeen: hoursAgo(50) })
    ]
  ],
  ['can never run here: no known worker has the task diarize', on('cpu+diarize'), [worker('desk')]],
  [
    'can never run here: it needs a GPU with 8 GB, and the largest with the task diarize has 6 GB (desk-2)',
    on('gpu.vram8+diarize'),
    [worker('big', { gpus: [card(24)] }), worker('desk-2', { tasks: ['diarize'], gpus: [card(6)] })]
  ],

  // A slot.
  ['waits behind 3 units on queue cpu', { queuePosition: 3 }, [worker('desk')]],
  ['waits for one of 1 slot on queue cpu', {}, [worker('desk', { slots: [slot('running')] })]],
  [
    'waits for a slot on queue cpu: all of them are out of service',
    {},
    [worker('desk', { slots: [slot('out-of-service')] })]
  ],
  [
    'waits for GPU 1 of desk-1: used by blender (5.1 GB)',
    on('gpu'),
    [
      worker('desk-1', {
        queues: ['gpu', 'cpu'],
        gpus: [card(2, 0), card(8, 1)],
        slots: [slot('idle'), slot('reserved', 'GPU-1', 'used by blender (5.1 GB)')]
      })
    ]
  ],
  [
    'waits for one of 1 slot on queue gpu.vram8',
    on('gpu.vram8'),
    [
      worker('desk', {
        queues: ['gpu.vram8', 'gpu', 'cpu'],
        gpus: [card(8, 0), card(6, 1)],
        slots: [slot('running', 'GPU-0'), slot('idle', 'GPU-1'), slot('idle')]
      })
    ]
  ],
  [
    'waits for one of 1 slot on queue cpu',
    {},
    [
      worker('desk', { queues: ['gpu', 'cpu'], gpus: [card(8)], slots: [slot('idle', 'GPU-0'), slot('running')] }),
      worker('other', { queues: ['gpu'], slots: [slot('idle')] })
    ]
  ],
  // Asked to serve it: by CPU lanes, and by a card that is too small for its class.
  ['waits for one of 1 slot on queue gpu', on('gpu'), [worker('desk', { queues: ['gpu'], slots: [slot('running')] })]],
  [
    'waits for one of 1 slot on queue gpu.vram24',
    on('gpu.vram24'),
    [
      worker('desk', {
        queues: ['gpu.vram24', 'cpu'],
        gpus: [card(8)],
        slots: [slot('running', 'GPU-0'), slot('idle')]
      })
    ]
  ],

  // A time.
  [
    'waits until 2099-01-02T03:04:05.000Z',
    { next: { ...UNIT, notBefore: new Date('2099-01-02T03:04:05Z'), pauseSeconds: 1e9 } },
    []
  ],
  [
    'waits 4 s before attempt 2 of 3: it fell over',
    { next: { ...UNIT, notBefore: new Date(), pauseSeconds: 3.2, attempts: 1, error: 'it fell over\nhere' } },
    [worker('desk')]
  ],
  [
    'waits 1 s before it is tried again: The process ended.',
    { next: { ...UNIT, notBefore: new Date(), pauseSeconds: 0.2, error: 'The process ended.' } },
    [worker('desk')]
  ],

  // The master.
  ['waits to be planned', { planned: false, next: null, units: { total: 0, done: 0, running: 0, failed: 0 } }, []],

  // Nothing.
  [null, {}, [worker('desk')]],
  [null, { units: { total: 2, done: 0, running: 1, failed: 0 } }, []],
  [null, { status: 'COMPLETED' }, []]
]

describe('how many slots a queue has', () => {
  const workers = [
    worker('desk', {
      queues: ['gpu', 'cpu'],
      gpus: [card(8)],
      slots: [slot('idle', 'GPU-0'), slot('idle'), slot('idle')]
    }),
    worker('lanes', { queues: ['gpu'] }),
    worker('off', { queues: ['gpu', 'cpu'], status: 'offline' }),
    worker('drained', { queues: ['gpu', 'cpu'], status: 'draining' })
  ]
  it.each([
    ['cpu', 2],
    ['gpu', 2],
    ['gpu.vram8', 0]
  ])('%s', (queue, slots) => {
    expect(slotsOn(workers, queue)).toBe(slots)
  })
})

describe('a task that workers have in their folder and cannot run', () => {
  const lackOf = (lack: string) => ({ id: 'desk-2', name: 'desk-2', status: 'online' as const, lack })
  const task = (vramGb: number, lack: string) =>
    new Map([['big', { name: 'big', requires: { gpu: vramGb > 0, vramGb, features: [] }, lacking: [lackOf(lack)] }]])
  const tooSmall = task(20, 'it needs a GPU with 20 GB, and this one is too small')
  const desk = worker('desk-2', { id: 'desk-2', gpus: [card(8)] })

  it.each([
    ['needs a GPU with 20 GB; the largest online has 8 GB (desk-2)', 'gpu.vram24+big', [desk], tooSmall],
    [
      'needs a GPU with 20 GB; no worker that is online has one',
      'gpu.vram24+big',
      [worker('off', { status: 'offline', gpus: [card(24)] }), worker('desk-2', { id: 'desk-2' })],
      tooSmall
    ],
    [
      'needs a GPU with 20 GB (of the class of 24 GB); the largest online has 20 GB (ada)',
      'gpu.vram24+big',
      [desk, worker('ada', { gpus: [card(20)] })],
      tooSmall
    ],
    [
      'needs a GPU with 20 GB on a worker that has the task big: large has the GPU and not the task',
      'gpu.vram24+big',
      [desk, worker('large', { gpus: [card(24)] })],
      tooSmall
    ],
    [
      'waits for a worker that can run the task big: on desk-2 it needs ffprobe on PATH',
      'gpu.vram6+big',
      [desk],
      task(6, 'it needs ffprobe on PATH')
    ],
    [
      'waits for a worker that can run the task big: on desk-2 it needs ffprobe on PATH',
      'cpu+big',
      [worker('desk-2', { id: 'desk-2' })],
      task(0, 'it needs ffprobe on PATH')
    ],
    [
      'waits for one of 1 slot on queue cpu+big',
      'cpu+big',
      [worker('desk', { queues: ['cpu+big'], tasks: ['big'], slots: [slot('running')] })],
      new Map()
    ]
  ])('%s', (expected, queue, workers, tasks) => {
    expect(waitingForOf({ ...QUEUED, ...on(queue) }, workers, tasks)).toBe(expected)
  })
})

describe('what a job waits for', () => {
  it.each(cases)('%s', (expected, change, workers) => {
    expect(waitingForOf({ ...QUEUED, ...change }, workers)).toBe(expected)
  })
})
