import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Redis users: one of each worker, with the queues that it may use, and one of each join code. Their secrets are kept as
 * Redis keeps them: hashed.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table workers add column queues text[], add column redis_hash text;
    create table join_codes (
      id text primary key,
      hash text not null,
      created_at timestamptz not null default now(),
      expires_at timestamptz not null,
      used_at timestamptz,
      worker_id text
    );
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    drop table join_codes;
    alter table workers drop column queues, drop column redis_hash`)
}
