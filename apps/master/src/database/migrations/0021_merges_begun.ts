import type { MigrationBuilder } from 'node-pg-migrate'

/** A merge that takes the master down is not begun for ever. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('alter table jobs add column merges_begun integer not null default 0')
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table jobs drop column merges_begun')
}
