import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * The queued unit of a job that goes first, in one step however many it has; and lists of jobs of one status or one task,
 * which else read every job to find that there are few such.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    create index units_queued_of_job on units (job_id, not_before nulls first, rank) where status = 'QUEUED';
    create index jobs_newest_by_status on jobs (status, created_at desc, id desc);
    create index jobs_newest_by_task on jobs (task, created_at desc, id desc);
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('drop index units_queued_of_job, jobs_newest_by_status, jobs_newest_by_task')
}
