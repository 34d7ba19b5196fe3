/** Every Redis name that master and worker share. */
export const PREFIX = 'sc'
export const QUEUE_PREFIX = `${PREFIX}:q`

/** Version of what master and worker say to each other: a worker of another version does not start. */
export const PROTOCOL_VERSION = 4

/** Hash the master publishes: `httpUrl`, `localUrl` (for workers on its own machine), `protocol`, `version`. */
export const MASTER_KEY = `${PREFIX}:master`
/** Stream on which a worker asks to be enrolled; `enrol-request.ts` has the fields. */
export const ENROL_STREAM = `${PREFIX}:enrol`

/** List on which one enrolment is answered, once. */
export const enrolReplyKey = (token: string): string => `${PREFIX}:enrol:${token}`
/** Set by who asks with an ordinary login, before it asks: nobody with fewer rights can. */
export const enrolAskKey = (token: string): string => `${PREFIX}:enrol:ask:${token}`
export const outboxKey = (workerId: string): string => `${PREFIX}:out:${workerId}`
export const controlChannel = (workerId: string): string => `${PREFIX}:ctl:${workerId}`
export const presenceKey = (workerId: string): string => `${PREFIX}:presence:${workerId}`

/** BullMQ lock and stalled check: a lost unit runs again within lock + 2 checks. Source: `docs/decisions/0006-lost-units.md`. */
export const LOCK_MS = 5_000
export const STALLED_CHECK_MS = 1_000
