import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Tasks of any kind. A unit's place among others is `priority` and `rank` (see `jobs/fair-share.ts`); `sent_at` says that
 * it is in its Redis queue. A job of one unit (`single`) needs neither plan nor merge.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table workers
      add column tasks jsonb not null default '[]',
      add column draining boolean not null default false;

    alter table jobs
      add column single boolean not null default false,
      add column run_at timestamptz,
      add column max_attempts integer not null default 3,
      add column timeout_ms integer,
      add column output jsonb,
      add column output_ref text,
      add column next_rank double precision,
      add column bytes bigint;
    create index jobs_due on jobs (run_at) where status = 'PENDING' and run_at is not null;
    create index jobs_open_of_key on jobs (key_id) where status in ('PENDING', 'RUNNING');

    alter table units
      add column priority integer not null default 0,
      add column rank double precision not null default 0,
      add column sent_at timestamptz,
      add column not_before timestamptz,
      add column max_attempts integer not null default 3,
      add column output_ref text;
    update units set sent_at = queued_at where status in ('QUEUED', 'RUNNING');
    create index units_next on units (queue, priority desc, rank, queued_at) where status = 'QUEUED';

    create table fair_clock (
      id    boolean primary key default true check (id),
      value double precision not null default 0
    );
    insert into fair_clock default values;
    create table fair_keys (
      key_id    text primary key,
      next_rank double precision not null
    );

    create table job_logs (
      id      bigint generated always as identity primary key,
      job_id  text not null references jobs on delete cascade,
      unit_id text not null,
      at      timestamptz not null default now(),
      level   text not null check (level in ('debug', 'info', 'warn', 'error')),
      message text not null,
      fields  jsonb
    );
    create index job_logs_of_job on job_logs (job_id, id);
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    drop table job_logs, fair_keys, fair_clock;
    drop index units_next, jobs_due, jobs_open_of_key;
    alter table units
      drop column priority, drop column rank, drop column sent_at, drop column not_before, drop column max_attempts,
      drop column output_ref;
    alter table jobs
      drop column single, drop column run_at, drop column max_attempts, drop column timeout_ms, drop column output,
      drop column output_ref, drop column next_rank, drop column bytes;
    alter table workers drop column tasks, drop column draining`)
}
