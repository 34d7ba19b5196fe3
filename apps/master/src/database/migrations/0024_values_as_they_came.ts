import type { MigrationBuilder } from 'node-pg-migrate'

const COLUMNS = {
  jobs: ['input', 'output'],
  units: ['params', 'partial', 'output'],
  schedules: ['input']
}

/** jsonb has one order of names, whatever came, and writes 1e300 with all its digits: what users send is kept as its text. */
export function up(pgm: MigrationBuilder): void {
  change(pgm, 'json')
}

export function down(pgm: MigrationBuilder): void {
  change(pgm, 'jsonb')
}

function change(pgm: MigrationBuilder, type: string): void {
  for (const [table, columns] of Object.entries(COLUMNS))
    pgm.sql(`alter table ${table} ${columns.map(name => `alter column ${name} type ${type} using ${name}::${type}`)}`)
}
