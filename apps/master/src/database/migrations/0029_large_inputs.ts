import type { MigrationBuilder } from 'node-pg-migrate'

/** Inputs that are too large for rows and for Redis are blobs: `input_ref` says which, and then `input` and `params` are `{}`. */
export function up(pgm: MigrationBuilder): void {
  pgm.sql('alter table jobs add column input_ref text; alter table units add column input_sha256 text')
}

export function down(pgm: MigrationBuilder): void {
  pgm.sql('alter table jobs drop column input_ref; alter table units drop column input_sha256')
}
