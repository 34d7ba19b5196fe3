import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * `total_bytes` is the size of a job's log up to and with a line. The indexes are for what is asked again and again: how
 * long a task took lately, and how many jobs ended lately.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table workers add column tasks_at timestamptz;
    alter table job_logs add column total_bytes integer not null default 0;
    create index units_done on units (task, finished_at desc) where status = 'DONE';
    create index jobs_ended on jobs (finished_at) where finished_at is not null;
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    drop index units_done, jobs_ended;
    alter table job_logs drop column total_bytes;
    alter table workers drop column tasks_at`)
}
