import type { MigrationBuilder } from 'node-pg-migrate'

/** What all masters of a database share, the secret of tickets among it; and what workers wrote that none writes. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    create table settings (name text primary key, value text not null);
    alter table workers
      add column quarantined_at timestamptz,
      add column offences integer not null default 0,
      add column last_offence text,
      add column last_offence_at timestamptz`)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table workers drop column quarantined_at, drop column offences, drop column last_offence,
      drop column last_offence_at;
    drop table settings`)
}
