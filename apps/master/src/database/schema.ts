import type { ErrorReport } from '@sc/shared/errors.ts'
import type { Presence } from '@sc/shared/presence.ts'
import type { LackingTask, TaskDescription } from '@sc/shared/python-protocol.ts'
import type { RefusedTask } from '@sc/shared/task-limits.ts'
import type { Timings } from '@sc/shared/unit.ts'
import type { ColumnType, Generated, GeneratedAlways, JSONColumnType, Kysely, Selectable, Transaction } from 'kysely'

/** Every table, one after the other: longer than other files, since each refers to its neighbours. */

export const JOB_STATUSES = ['PENDING', 'RUNNING', 'COMPLETED', 'PARTIAL', 'FAILED', 'CANCELLED'] as const
export type JobStatus = (typeof JOB_STATUSES)[number]
export const OPEN_JOB: JobStatus[] = ['PENDING', 'RUNNING']

/** Whether a job of this status has a result; one of a PARTIAL job has gaps. */
export function hasResult(status: JobStatus): boolean {
  return status === 'COMPLETED' || status === 'PARTIAL'
}

export type UnitStatus = 'QUEUED' | 'RUNNING' | 'DONE' | 'FAILED' | 'CANCELLED'
export const OPEN_UNIT: UnitStatus[] = ['QUEUED', 'RUNNING']

export type Scope = 'admin' | 'submit' | 'read' | 'metrics' | 'worker' | 'join'

/** A stretch of the recording without text, in seconds. */
export interface Gap {
  start: number
  end: number
  error: ErrorReport
}

/** A task that a worker does not offer since `leftMs` (since 1970), and what it was. */
export interface LeftTask {
  leftMs: number
  digest: string
}

type NullableJson<T> = ColumnType<T | null, string | null | undefined, string | null>
type Time = ColumnType<Date | null, Date | null | undefined, Date | null>

export interface ApiKeysTable {
  id: string
  name: string
  hash: Buffer
  scopes: Scope[]
  worker_id: string | null
  created_at: Generated<Date>
  /** To the minute; of a worker's key it is not kept. */
  last_used_at: Time
  revoked_at: Time
  /** Id of the key by which an admin ended it; null: it is good, or was replaced in the configuration. */
  revoked_by: string | null
}

/** Of a browser that logged in. */
export interface SessionsTable {
  id: string
  /** sha256 of what its cookie holds. */
  cookie_hash: Buffer
  /** sha256 of what its page sends beside the cookie. */
  page_hash: Buffer
  /** The admin key of the master that it logged in at: it ends with that key. */
  key_id: string
  /** Who it is in the tailnet, and on which machine; null: it came by the login link. */
  login_name: string | null
  machine: string | null
  /** What the browser calls itself. */
  agent: string | null
  created_at: Generated<Date>
  last_used_at: Generated<Date>
  expires_at: Date
}

export interface WorkersTable {
  id: string
  name: string
  hostname: string
  enrolled_at: Generated<Date>
  revoked_at: Time
  presence: NullableJson<Presence>
  last_seen: Time
  /** What the worker can run beside the built-in tasks, and what it lacks for others, as it registered it. */
  tasks: ColumnType<Array<TaskDescription | LackingTask>, string | undefined, string>
  /** What it registered beside them and the master left out. */
  refused_tasks: ColumnType<RefusedTask[], string | undefined, string>
  /** When it registered them. */
  tasks_at: Time
  /** By name, since when it has offered each without a break, in ms since 1970. */
  tasks_since: ColumnType<Record<string, number>, string | undefined, string>
  /** By name, those that it does not offer since a moment ago; see `cluster/task-claims.ts`. */
  tasks_left: ColumnType<Record<string, LeftTask>, string | undefined, string>
  /** Told to take no units; kept over its restart. */
  draining: Generated<boolean>
  /** Those whose units it may be given; null: it was enrolled before this was kept. */
  queues: string[] | null
  /** Of the secret of its Redis user, as Redis keeps it; null: it has none. */
  redis_hash: string | null
  /** Of a version from before masters stood between workers and queues, and not updated since. Never true again. */
  is_old: Generated<boolean>
  /** The machine that was refused this worker's name last, and when. */
  name_asked_by: string | null
  name_asked_at: Time
  /** Its login is off until an admin forgives it. */
  quarantined_at: Time
  /** What it wrote that no worker writes: how often, the last, and when. */
  offences: Generated<number>
  last_offence: string | null
  last_offence_at: Time
}

export interface JoinCodesTable {
  /** Its Redis user. */
  id: string
  hash: string
  created_at: Generated<Date>
  expires_at: Date
  used_at: Time
  worker_id: string | null
  /** Id of the key or the session that asked for it. */
  made_by: Generated<string>
}

export interface JobsTable {
  id: string
  task: string
  status: Generated<JobStatus>
  priority: Generated<number>
  input: JSONColumnType<Record<string, unknown>>
  /** The blob with its input, as JSON, where that is large; see `jobs/large-input.ts`. */
  input_ref: string | null
  source_file: string | null
  blob_key: string | null
  key_id: string
  idempotency_key: string | null
  request_hash: string | null
  /** True when every unit is known. */
  planned: Generated<boolean>
  /** What `plan` found out about the job, for `merge`. */
  plan_summary: NullableJson<Record<string, unknown>>
  model: string | null
  language: string | null
  duration_seconds: number | null
  gaps: ColumnType<Gap[], string | undefined, string>
  error: NullableJson<ErrorReport>
  /** The most that was shown of it, 0 to 1: what was shown is never taken back. */
  progress: Generated<number>
  webhook_url: string | null
  /** How many times it was begun again. */
  generation: Generated<number>
  /** Merges that were begun and did not end: they ended with their master. */
  merges_begun: Generated<number>
  /** Of the units of a job that has ended; null: they are counted. See `jobs/unit-counts.ts`. */
  counts: NullableJson<Record<string, number>>
  /** What follows its end was done. */
  told: Generated<boolean>
  /** A job of one unit: nothing to plan, nothing to merge. */
  single: Generated<boolean>
  /** Not before this time; null: at once. */
  run_at: Time
  max_attempts: Generated<number>
  /** How long one attempt may run; null: as long as the task's kind allows. */
  timeout_ms: number | null
  /** How long a unit of it may wait for a slot; null: any time. */
  wait_timeout_ms: number | null
  /** The result, when it is small; a large one is the blob `output_ref`. */
  output: NullableJson<unknown>
  output_ref: string | null
  /** Rank of its next unit; see `jobs/fair-share.ts`. */
  next_rank: number | null
  /** What its recording and its result take; null: not measured yet. */
  bytes: ColumnType<string | null, number | null | undefined, number | null>
  created_at: Generated<Date>
  started_at: Time
  finished_at: Time
}

export interface UnitsTable {
  id: string
  job_id: string
  task: string
  index: number
  queue: string
  status: Generated<UnitStatus>
  input_ref: string | null
  /** Of the blob `input_ref` where that is its input as JSON, in place of `params`; null: it is a file of its task's. */
  input_sha256: string | null
  params: JSONColumnType<Record<string, unknown>>
  /** Of `params` as text; null: an older master wrote them. */
  params_bytes: number | null
  /** Where the unit lies in its job: for a chunk, `{startSample, endSample}`. */
  span: NullableJson<Record<string, unknown>>
  /** How much of the job's length the unit is, in seconds. */
  seconds: Generated<number>
  deadline_ms: number
  /** sha256 of input, task and parameters; null: the result is never reused. */
  cache_key: string | null
  /** How many times the unit was queued again; part of its entry's id, so that queueing twice is queueing once. */
  dispatch: Generated<number>
  attempts: Generated<number>
  crashes: Generated<number>
  attempt_id: string | null
  worker_id: string | null
  /** Of a result that was reused: the worker that made it. */
  made_by: string | null
  slot: string | null
  /** 0 to 100, the higher first; its job's. */
  priority: Generated<number>
  /** Of one priority the lowest goes first; see `jobs/fair-share.ts`. */
  rank: Generated<number>
  /** BullMQ id of the entry that it is in, in its Redis queue; null: it waits here. */
  entry: string | null
  /** When it was last put into one. */
  sent_at: Time
  /** Of a delayed job, or after a failed attempt: not to be sent before. */
  not_before: Time
  /** False: QUEUED, and not to be sent yet; see `jobs/due-units.ts`. */
  is_due: Generated<boolean>
  /** When it will have waited, once QUEUED, for as long as its job allows; null: any time. See `jobs/wait-timeouts.ts`. */
  wait_until: Time
  max_attempts: Generated<number>
  /** False: what may have begun is not run again; see `jobs/run-once.ts`. */
  retry_crashes: Generated<boolean>
  /** Of such a unit, the worker that was given it and may have begun it. */
  given_to: string | null
  output_ref: string | null
  fraction: Generated<number>
  partial: NullableJson<unknown>
  output: NullableJson<unknown>
  error: NullableJson<ErrorReport>
  waited_ms: number | null
  timings: NullableJson<Timings>
  queued_at: Generated<Date>
  started_at: Time
  finished_at: Time
  touched_at: Generated<Date>
}

/** A job that a master plans; see `jobs/planner.ts`. */
export interface PlansTable {
  job_id: string
  owner: string
  until: Date
  tries: Generated<number>
  not_before: Generated<Date>
}

export interface FairClockTable {
  id: Generated<boolean>
  value: Generated<number>
}

export interface FairKeysTable {
  key_id: string
  next_rank: number
}

export interface JobLogsTable {
  id: GeneratedAlways<string>
  job_id: string
  unit_id: string
  at: Generated<Date>
  level: 'debug' | 'info' | 'warn' | 'error'
  message: string
  fields: NullableJson<Record<string, unknown>>
  /** Size of the job's log up to and with this line. */
  total_bytes: Generated<number>
}

export const OVERLAPS = ['skip', 'queue', 'allow'] as const
export type Overlap = (typeof OVERLAPS)[number]

export interface SchedulesTable {
  id: string
  name: string | null
  task: string
  input: JSONColumnType<Record<string, unknown>>
  cron: string
  timezone: string
  priority: number
  /** Null: as many as any job has. */
  max_attempts: number | null
  timeout_ms: number | null
  /** Null: any time. */
  wait_timeout_ms: number | null
  /** What to do while the job before has not ended: drop this time, wait for it, or run beside it. */
  overlap: Generated<Overlap>
  /** The last time that was dropped. */
  skipped_at: Date | null
  /** Whose jobs they are. */
  key_id: string
  next_at: Date
  last_job_id: string | null
  /** Why nothing could be submitted the last time. */
  last_error: NullableJson<ErrorReport>
  created_at: Generated<Date>
}

/** What signs the webhooks of a key's jobs; see `webhooks/secrets.ts`. */
export interface WebhookSecretsTable {
  id: string
  key_id: string
  /** As its receivers know it: signing takes the text itself, so a hash would not do. */
  secret: string
  created_at: Generated<Date>
  /** Null: until another takes its place. */
  ends_at: Time
}

export const DELIVERY_STATUSES = ['PENDING', 'DELIVERED', 'FAILED'] as const
export type DeliveryStatus = (typeof DELIVERY_STATUSES)[number]

/** Of one end of a job, which it tells its address; see `webhooks/sender.ts`. */
export interface WebhookDeliveriesTable {
  /** What the receiver gets as `webhook-id`, the same for each attempt. */
  id: string
  job_id: string
  /** Of the job: one that is begun again ends again. */
  generation: number
  /** Of the job. */
  key_id: string
  /** Of the address, with its port. */
  host: string
  /** How the job ended; its row is another once it is begun again. */
  job_status: JobStatus
  job_error: NullableJson<ErrorReport>
  job_finished_at: Time
  status: Generated<DeliveryStatus>
  attempts: Generated<number>
  /** Of a PENDING one: no attempt before that. */
  next_at: Generated<Date>
  last_attempt_at: Time
  delivered_at: Time
  /** Of the last attempt; null: nothing answered it. */
  response_status: number | null
  error: NullableJson<ErrorReport>
  created_at: Generated<Date>
}

/** What all masters of this database share. */
export interface SettingsTable {
  name: string
  value: string
}

export interface Tables {
  settings: SettingsTable
  api_keys: ApiKeysTable
  sessions: SessionsTable
  workers: WorkersTable
  join_codes: JoinCodesTable
  jobs: JobsTable
  units: UnitsTable
  plans: PlansTable
  fair_clock: FairClockTable
  fair_keys: FairKeysTable
  job_logs: JobLogsTable
  schedules: SchedulesTable
  webhook_secrets: WebhookSecretsTable
  webhook_deliveries: WebhookDeliveriesTable
}

export type Database = Kysely<Tables>
export type DatabaseTransaction = Transaction<Tables>
export type JobRow = Selectable<JobsTable>
export type UnitRow = Selectable<UnitsTable>
export type ScheduleRow = Selectable<SchedulesTable>
export type DeliveryRow = Selectable<WebhookDeliveriesTable>
