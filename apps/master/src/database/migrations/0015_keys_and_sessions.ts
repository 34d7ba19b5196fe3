import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Who made a join code, so that one caller cannot use up what others need; when a key was last used and whether an admin
 * ended it; the sessions of browsers, as hashes; and the order in which a key's own jobs are listed.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table join_codes add column made_by text not null default '';
    alter table api_keys add column last_used_at timestamptz, add column revoked_by text;
    create table sessions (
      id           text primary key,
      cookie_hash  bytea not null unique,
      page_hash    bytea not null,
      key_id       text not null,
      login_name   text,
      machine      text,
      agent        text,
      created_at   timestamptz not null default now(),
      last_used_at timestamptz not null default now(),
      expires_at   timestamptz not null
    );
    create index jobs_newest_of_key on jobs (key_id, created_at desc, id desc);
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    drop index jobs_newest_of_key;
    drop table sessions;
    alter table api_keys drop column last_used_at, drop column revoked_by;
    alter table join_codes drop column made_by`)
}
