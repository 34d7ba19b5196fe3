import type { MigrationBuilder } from 'node-pg-migrate'

/** How long the units of its jobs may wait for a slot. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('alter table schedules add column wait_timeout_ms integer')
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table schedules drop column wait_timeout_ms')
}
