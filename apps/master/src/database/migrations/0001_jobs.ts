import type { MigrationBuilder } from 'node-pg-migrate'

export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    create table api_keys (
      id          text primary key,
      name        text not null,
      hash        bytea not null unique,
      scopes      text[] not null,
      worker_id   text,
      created_at  timestamptz not null default now(),
      revoked_at  timestamptz
    );

    create table workers (
      id          text primary key,
      name        text not null,
      hostname    text not null,
      enrolled_at timestamptz not null default now(),
      revoked_at  timestamptz,
      presence    jsonb,
      last_seen   timestamptz
    );

    create table jobs (
      id               text primary key,
      task             text not null,
      status           text not null default 'PENDING'
                       check (status in ('PENDING', 'RUNNING', 'COMPLETED', 'PARTIAL', 'FAILED', 'CANCELLED')),
      priority         integer not null default 0,
      input            jsonb not null,
      source_file      text,
      blob_key         text,
      key_id           text not null,
      idempotency_key  text,
      request_hash     text,
      planned          boolean not null default false,
      plan_summary     jsonb,
      model            text,
      language         text,
      duration_seconds double precision,
      gaps             jsonb not null default '[]',
      error            jsonb,
      webhook_url      text,
      created_at       timestamptz not null default now(),
      started_at       timestamptz,
      finished_at      timestamptz,
      unique (key_id, idempotency_key)
    );
    create index jobs_newest on jobs (created_at desc, id desc);
    create index jobs_open on jobs (created_at) where status in ('PENDING', 'RUNNING');

    create table units (
      id            text primary key,
      job_id        text not null references jobs on delete cascade,
      task          text not null,
      index         integer not null,
      queue         text not null,
      status        text not null default 'QUEUED'
                    check (status in ('QUEUED', 'RUNNING', 'DONE', 'FAILED', 'CANCELLED')),
      input_ref     text,
      params        jsonb not null,
      span          jsonb,
      seconds       double precision not null default 0,
      deadline_ms   integer not null,
      cache_key     text,
      dispatch      integer not null default 0,
      attempts      integer not null default 0,
      crashes       integer not null default 0,
      attempt_id    text,
      worker_id     text,
      slot          text,
      fraction      real not null default 0,
      partial       jsonb,
      output        jsonb,
      error         jsonb,
      waited_ms     double precision,
      timings       jsonb,
      queued_at     timestamptz not null default now(),
      started_at    timestamptz,
      finished_at   timestamptz,
      touched_at    timestamptz not null default now(),
      unique (job_id, task, index)
    );
    create index units_open on units (touched_at) where status in ('QUEUED', 'RUNNING');
    create index units_open_of_job on units (job_id) where status in ('QUEUED', 'RUNNING');
    create index units_reusable on units (cache_key) where status = 'DONE' and cache_key is not null;
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('drop table units, jobs, workers, api_keys')
}
