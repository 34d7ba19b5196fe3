import type { MigrationBuilder } from 'node-pg-migrate'

/** `told`: what follows a job's end (metrics, webhook, removal of its units' audio) was done. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table jobs add column told boolean not null default false;
    update jobs set told = true where finished_at is not null;
    create index jobs_untold on jobs (finished_at) where finished_at is not null and not told;
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('drop index jobs_untold; alter table jobs drop column told')
}
