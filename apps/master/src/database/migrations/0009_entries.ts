import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Units that take but milliseconds travel together: `entry` is the id of the queue entry that a unit is in; null: it
 * waits here. Rows change a few times and are soon past: with room left on their page a change that touches no index stays
 * out of all of them.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table units add column entry text;
    update units set entry = id || '-' || dispatch where sent_at is not null and status in ('QUEUED', 'RUNNING');
    alter table units set (fillfactor = 60);
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table units reset (fillfactor);
    alter table units drop column entry`)
}
