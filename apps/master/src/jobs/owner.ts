import { type SqlBool, sql } from 'kysely'

/** The key whose jobs and schedules are asked for; null: those of all keys. */
export type Owner = string | null

/** Rows of jobs or schedules that are the owner's. */
export function isOf(owner: Owner) {
  return owner === null ? sql<SqlBool>`true` : sql<SqlBool>`key_id = ${owner}`
}
