/** Every Redis name that master and worker share. Workers reach their inbox, their outbox and their presence alone. */
export const PREFIX = 'sc'

/** Version of the messages between master and worker: a worker of another version does not start. */
export const PROTOCOL_VERSION = 7

/** Hash the master publishes: `httpUrl`, `localUrl` (for workers on its own machine), `protocol`, `version`. */
export const MASTER_KEY = `${PREFIX}:master`

/** List to the worker: units and orders. Masters push, the worker pops, so that nothing can be read twice. */
export const inboxKey = (workerId: string): string => `${PREFIX}:in:${workerId}`
/** Stream from the worker: its wants and its outcomes. The worker adds, masters read and delete. */
export const outboxKey = (workerId: string): string => `${PREFIX}:out:${workerId}`
/** What the worker is, with an expiry that it renews. */
export const presenceKey = (workerId: string): string => `${PREFIX}:presence:${workerId}`

/** The one enrolment request of a join code, which only the code's own login may write. */
export const enrolAskKey = (asker: string): string => `${PREFIX}:enrol:ask:${asker}`
/** The master's answer to it, which only the same login may read. */
export const enrolAnswerKey = (asker: string): string => `${PREFIX}:enrol:answer:${asker}`
/** List of the askers that come with an ordinary login: no restricted login may touch it. */
export const ENROL_ASKERS = `${PREFIX}:enrol:askers`
