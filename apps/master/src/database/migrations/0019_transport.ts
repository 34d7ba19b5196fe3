import type { MigrationBuilder } from 'node-pg-migrate'

/** What all masters of a database share, the secret of tickets among it. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('create table settings (name text primary key, value text not null)')
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('drop table settings')
}
