import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * A unit's row is written three times: as it becomes known, when its entry is named, with its outcome. The second changes no
 * column of an index: where the new version fits into the same page, no index is written (a heap-only update).
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('alter table units set (fillfactor = 50)')
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table units reset (fillfactor)')
}
