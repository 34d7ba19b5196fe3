import type { MigrationBuilder } from 'node-pg-migrate'

/** What a schedule does whose job before has not ended. Those that are there go on as they did. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table schedules
      add column overlap text not null default 'allow' check (overlap in ('skip', 'queue', 'allow')),
      add column skipped_at timestamptz;
    alter table schedules alter column overlap set default 'skip'`)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table schedules drop column overlap, drop column skipped_at')
}
