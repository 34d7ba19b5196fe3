import type { MigrationBuilder } from 'node-pg-migrate'

/** How many units an ended job had, written down once: a list of jobs must not count 100,000 of them each time. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('alter table jobs add column counts jsonb')
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table jobs drop column counts')
}
