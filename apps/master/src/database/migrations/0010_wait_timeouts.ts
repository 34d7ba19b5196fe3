import type { MigrationBuilder } from 'node-pg-migrate'

/** How long a job's units may wait for a slot: see `jobs/wait-timeouts.ts`, which asks for few jobs of many. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table jobs add column wait_timeout_ms integer;
    create index jobs_that_may_wait_too_long on jobs (id)
      where wait_timeout_ms is not null and status in ('PENDING', 'RUNNING');
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    drop index jobs_that_may_wait_too_long;
    alter table jobs drop column wait_timeout_ms`)
}
