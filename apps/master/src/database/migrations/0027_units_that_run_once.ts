import type { MigrationBuilder } from 'node-pg-migrate'

/**
 * `retry_crashes`: what the unit's task says: false, a unit whose process or worker died is not run again. `given_to`: of such
 * a unit, the worker that may have begun it; null: none has. See `jobs/run-once.ts`.
 */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('alter table units add column retry_crashes boolean not null default true')
  pgm.sql('alter table units add column given_to text')
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table units drop column given_to')
  pgm.sql('alter table units drop column retry_crashes')
}
