import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Units that take but milliseconds travel together: `entry` is the id of the queue entry that a unit is in; null: it
 * waits here.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table units add column entry text;
    update units set entry = id || '-' || dispatch where sent_at is not null and status in ('QUEUED', 'RUNNING');
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table units drop column entry`)
}
