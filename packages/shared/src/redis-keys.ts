/** Every Redis name that master and worker share. */
export const PREFIX = 'sc'
export const QUEUE_PREFIX = `${PREFIX}:q`

/** Version of what master and worker say to each other: a worker of another version does not start. */
export const PROTOCOL_VERSION = 3

/** Hash the master publishes: `httpUrl`, `protocol`, `version`. */
export const MASTER_KEY = `${PREFIX}:master`
/** Stream on which a worker asks to be enrolled: fields `replyTo`, `name`, `hostname`, `workerId` (of an earlier time, or empty). */
export const ENROL_STREAM = `${PREFIX}:enrol`

/** List on which one enrolment is answered, once: JSON `{workerId, key}` or `{error}`. */
export const enrolReplyKey = (token: string): string => `${PREFIX}:enrol:${token}`
export const outboxKey = (workerId: string): string => `${PREFIX}:out:${workerId}`
export const controlChannel = (workerId: string): string => `${PREFIX}:ctl:${workerId}`
export const presenceKey = (workerId: string): string => `${PREFIX}:presence:${workerId}`

/** BullMQ lock and stalled check: a lost unit runs again within lock + 2 checks. Source: `docs/decisions/0006-lost-units.md`. */
export const LOCK_MS = 5_000
export const STALLED_CHECK_MS = 1_000
