import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * Of a worker, what it cannot bring about by what it writes: whether it is from before masters stood between workers and
 * queues (0019), and since when it has offered each of its tasks; and which machine asked for its name last.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table workers
      add column is_old boolean not null default false,
      add column tasks_since jsonb not null default '{}',
      add column tasks_left jsonb not null default '{}',
      add column name_asked_by text,
      add column name_asked_at timestamptz;
    update workers set is_old = true
      where enrolled_at < (select min(run_on) from migrations where name = '0019_transport')
        and jsonb_typeof(presence -> 'protocol') = 'number' and (presence ->> 'protocol')::numeric < 5;
    update workers set tasks_since = (
      select jsonb_object_agg(task ->> 'name', floor(extract(epoch from enrolled_at) * 1000))
      from jsonb_array_elements(tasks) as task
    ) where jsonb_array_length(tasks) > 0`)
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql(`
    alter table workers drop column is_old, drop column tasks_since, drop column tasks_left,
      drop column name_asked_by, drop column name_asked_at`)
}
