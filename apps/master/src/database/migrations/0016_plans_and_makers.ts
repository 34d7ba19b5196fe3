import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Which master plans which job, until when (see `jobs/planner.ts`); and whose result a reused one is. Those that were
 * reused before this was kept are reused no more.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    create table plans (
      job_id     text primary key references jobs on delete cascade,
      owner      text not null,
      until      timestamptz not null,
      tries      integer not null default 0,
      not_before timestamptz not null default '-infinity'
    );
    create index jobs_unplanned on jobs (created_at) where not planned and status in ('PENDING', 'RUNNING');
    alter table units add column made_by text;
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table units drop column made_by; drop index jobs_unplanned; drop table plans')
}
