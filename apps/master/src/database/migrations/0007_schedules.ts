import type { MigrationBuilder } from 'node-pg-migrate'

/** Tasks that are run again and again: see `jobs/schedules.ts`. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    create table schedules (
      id           text primary key,
      name         text,
      task         text not null,
      input        jsonb not null,
      cron         text not null,
      timezone     text not null,
      priority     integer not null,
      max_attempts integer,
      timeout_ms   integer,
      key_id       text not null,
      next_at      timestamptz not null,
      last_job_id  text,
      last_error   jsonb,
      created_at   timestamptz not null default now()
    );
    create index schedules_due on schedules (next_at);
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('drop table schedules')
}
