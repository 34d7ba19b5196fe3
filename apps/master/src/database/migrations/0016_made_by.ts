import type { MigrationBuilder } from 'node-pg-migrate'

/** Whose result a reused one is. Those that were reused before this was kept are reused no more. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('alter table units add column made_by text')
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table units drop column made_by')
}
