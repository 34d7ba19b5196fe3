import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Indexes from which it is counted what waits and runs, mostly without the rows: with 100,000 units in a queue, or in one
 * job, counting the rows themselves takes 100 ms and more.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    create index units_waiting on units (queue, queued_at) where status = 'QUEUED';
    create index units_running on units (queue) where status = 'RUNNING';
    create index units_of_job on units (job_id, status, task) include (seconds);
    create index units_taken_over on units (job_id) include (seconds) where status = 'DONE' and attempt_id is null;
    create index jobs_running on jobs (id) where status = 'RUNNING';
    create index jobs_ended_as on jobs (finished_at, status) where finished_at is not null;
    drop index units_open_of_job, jobs_ended;
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    drop index units_waiting, units_running, units_of_job, units_taken_over, jobs_running, jobs_ended_as;
    create index units_open_of_job on units (job_id) where status in ('QUEUED', 'RUNNING');
    create index jobs_ended on jobs (finished_at) where finished_at is not null`)
}
