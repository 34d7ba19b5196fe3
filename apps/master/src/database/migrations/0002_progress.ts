import type { MigrationBuilder } from 'node-pg-migrate'

/** `progress` is the most that was ever shown of a job; the index finds what goes before a job in the queue. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table jobs add column progress real not null default 0;
    create index jobs_order on jobs (priority, created_at, id) where status in ('PENDING', 'RUNNING');
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('drop index jobs_order; alter table jobs drop column progress')
}
