import { type RawBuilder, sql } from 'kysely'

type Time = RawBuilder<Date | null>

/** `is_due` of a unit that is queued now. */
export function isDue(notBefore: Time): RawBuilder<boolean> {
  return sql<boolean>`coalesce(${notBefore} <= now(), true)`
}

/** `wait_until` of a unit that is queued now. `waitTimeoutMs`: its job's. */
export function waitUntil(notBefore: Time, waitTimeoutMs: RawBuilder<number | null> = ofItsJob): Time {
  return sql<Date | null>`greatest(now(), ${notBefore}) + make_interval(secs => ${waitTimeoutMs} / 1000.0)`
}

const ofItsJob = sql<number | null>`(select wait_timeout_ms from jobs where jobs.id = units.job_id)`
