import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * How long a unit's input is as text, which is about what it takes in Redis: the size that PostgreSQL tells by itself is that
 * of the compressed value, and making the text again for each look reads every large input. Null: of an older master.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('alter table units add column params_bytes integer')
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table units drop column params_bytes')
}
