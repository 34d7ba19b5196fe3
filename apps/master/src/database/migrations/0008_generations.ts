import type { MigrationBuilder } from 'node-pg-migrate'

/** How many times a job was begun again: a plan of before that still runs adds nothing any more. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('alter table jobs add column generation integer not null default 0')
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table jobs drop column generation')
}
