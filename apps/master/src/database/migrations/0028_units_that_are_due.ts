import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Units that are not to run yet (`not is_due`) are in no index by which the others are read: a hundred thousand of them cost
 * each look at a queue as much as a hundred thousand that may run. `units_waiting` has them, too, for it counts them. The
 * same for the open jobs of a key, which are counted at each submission.
 * `wait_until`: when a queued unit has waited for as long as its job allows.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table units
      add column is_due boolean not null default true,
      add column wait_until timestamptz;
    update units set is_due = false where status = 'QUEUED' and not_before > now();
    update units set wait_until = greatest(queued_at, units.not_before) + make_interval(secs => jobs.wait_timeout_ms / 1000.0)
      from jobs where jobs.id = units.job_id and units.status = 'QUEUED' and jobs.wait_timeout_ms is not null;

    drop index units_next, units_waiting, units_open, jobs_that_may_wait_too_long, jobs_open_of_key;
    create index units_next on units (queue, priority desc, rank, queued_at) where status = 'QUEUED' and is_due;
    create index units_waiting on units (queue, is_due, queued_at) where status = 'QUEUED';
    create index units_open on units (touched_at) where status in ('QUEUED', 'RUNNING') and is_due;
    create index units_not_due on units (not_before) where status = 'QUEUED' and not is_due;
    create index units_wait_until on units (wait_until) where status = 'QUEUED' and wait_until is not null;
    create index jobs_open_of_key on jobs (key_id, run_at) where status in ('PENDING', 'RUNNING');
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    drop index units_next, units_waiting, units_open, units_not_due, units_wait_until, jobs_open_of_key;
    create index units_next on units (queue, priority desc, rank, queued_at) where status = 'QUEUED';
    create index units_waiting on units (queue, queued_at) where status = 'QUEUED';
    create index units_open on units (touched_at) where status in ('QUEUED', 'RUNNING');
    create index jobs_that_may_wait_too_long on jobs (id)
      where wait_timeout_ms is not null and status in ('PENDING', 'RUNNING');
    create index jobs_open_of_key on jobs (key_id) where status in ('PENDING', 'RUNNING');
    alter table units drop column is_due, drop column wait_until`)
}
