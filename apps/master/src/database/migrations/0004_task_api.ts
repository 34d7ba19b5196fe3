import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * `total_bytes` is the size of a job's log up to and with a line. The indexes answer what is asked again and again, mostly
 * without the rows: with 100,000 units in a queue, or in one job, counting the rows themselves takes 100 ms and more.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table workers add column tasks_at timestamptz;
    alter table job_logs add column total_bytes integer not null default 0;
    create index units_done on units (task, finished_at desc) where status = 'DONE';
    create index units_waiting on units (queue, queued_at) where status = 'QUEUED';
    create index units_running on units (queue) where status = 'RUNNING';
    create index units_of_job on units (job_id, status, task) include (seconds);
    create index units_taken_over on units (job_id) include (seconds) where status = 'DONE' and attempt_id is null;
    drop index units_open_of_job;
    create index jobs_running on jobs (id) where status = 'RUNNING';
    create index jobs_ended on jobs (finished_at, status) where finished_at is not null;
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    drop index units_done, units_waiting, units_running, units_of_job, units_taken_over, jobs_running, jobs_ended;
    create index units_open_of_job on units (job_id) where status in ('QUEUED', 'RUNNING');
    alter table job_logs drop column total_bytes;
    alter table workers drop column tasks_at`)
}
