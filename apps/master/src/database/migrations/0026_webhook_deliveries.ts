import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Webhooks as rows: one delivery for each end of a job that has an address, kept with its job, and the secrets that sign
 * those of a key (see `webhooks/sender.ts`).
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    create table webhook_secrets (
      id         text primary key,
      key_id     text not null references api_keys on delete cascade,
      secret     text not null,
      created_at timestamptz not null default now(),
      ends_at    timestamptz
    );
    create index webhook_secrets_of_key on webhook_secrets (key_id);
    create table webhook_deliveries (
      id              text primary key,
      job_id          text not null references jobs on delete cascade,
      generation      integer not null,
      key_id          text not null,
      host            text not null,
      job_status      text not null,
      job_error       jsonb,
      job_finished_at timestamptz,
      status          text not null default 'PENDING' check (status in ('PENDING', 'DELIVERED', 'FAILED')),
      attempts        integer not null default 0,
      next_at         timestamptz not null default now(),
      last_attempt_at timestamptz,
      delivered_at    timestamptz,
      response_status integer,
      error           jsonb,
      created_at      timestamptz not null default now(),
      unique (job_id, generation)
    );
    create index webhook_deliveries_pending on webhook_deliveries (key_id, attempts, next_at) where status = 'PENDING';
    create index webhook_deliveries_newest on webhook_deliveries (created_at desc, id desc);
    create index webhook_deliveries_newest_of_key on webhook_deliveries (key_id, created_at desc, id desc);
  `)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('drop table webhook_deliveries, webhook_secrets')
}
