/**
 * Whether two databases hold the same rows.
 */
import type * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"

export interface Fingerprint {
  readonly table: string
  readonly rows: number
  readonly hash: string
}

/** Count and order-independent hash of every table of the application. */
export const fingerprints = (sql: SqlClient.SqlClient): Effect.Effect<ReadonlyArray<Fingerprint>, SqlError> =>
  Effect.flatMap(
    sql<{ name: string }>`
      SELECT relname AS name FROM pg_catalog.pg_class
      WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname`,
    Effect.forEach(({ name }) =>
      Effect.map(
        sql<{ rows: number; hash: string }>`
          SELECT count(*)::int AS rows, coalesce(sum(hash_record_extended(t, 0)::numeric), 0)::text AS hash
          FROM ${sql(name)} AS t`,
        ([row]) => ({ table: name, rows: row?.rows ?? 0, hash: row?.hash ?? "" })
      )
    )
  )
