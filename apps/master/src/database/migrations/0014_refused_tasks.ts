import type { MigrationBuilder } from 'node-pg-migrate'

/** Tasks that a worker registered and that were left out, each with the reason. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`alter table workers add column refused_tasks jsonb not null default '[]'`)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table workers drop column refused_tasks')
}
