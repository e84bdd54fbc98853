/**
 * What is in a database and who uses it: what a person wants to know before it is lost.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

/** Tables of up to this size are counted (about 0.1 s each); of larger ones the planner's estimate is shown. */
const countableBytes = 80 * 1024 * 1024

const Table = Schema.Struct({
  schema: Schema.String,
  name: Schema.String,
  estimate: Schema.Number,
  bytes: Schema.Number
})

const Session = Schema.Struct({
  pid: Schema.Number,
  user: Schema.NullOr(Schema.String),
  application: Schema.String,
  address: Schema.String,
  since: Schema.NullOr(Schema.String)
})

/** Somebody else's connection. */
export type Session = typeof Session.Type

/** What is in a database. */
export interface Survey {
  readonly tables: ReadonlyArray<{ readonly name: string; readonly rows: number; readonly isExact: boolean }>
  readonly rows: number
  readonly bytes: number
}

/** Of a database that does not exist. */
export const empty: Survey = { tables: [], rows: 0, bytes: 0 }

const Recovery = Schema.Tuple(Schema.Struct({ inRecovery: Schema.Boolean }))

/** The server is a standby. */
export const inRecovery: Effect.Effect<boolean, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const rows = yield* sql`SELECT pg_catalog.pg_is_in_recovery() AS "inRecovery"`
  const [row] = yield* Effect.orDie(Schema.decodeUnknown(Recovery)(rows))
  return row.inRecovery
})

/** Counts the user's tables, the fullest first. What Plinth stores in its own schema is not counted. */
export const take: Effect.Effect<Survey, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const found = yield* Effect.flatMap(
    sql`SELECT n.nspname AS schema, c.relname AS name,
        greatest(c.reltuples, 0)::float8 AS estimate, pg_catalog.pg_table_size(c.oid)::float8 AS bytes
      FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'plinth')
        AND n.nspname !~ '^pg_(toast|temp)'`,
    (rows) => Effect.orDie(Schema.decodeUnknown(Schema.Array(Table))(rows))
  )
  const tables = yield* Effect.forEach(found, count, { concurrency: 2 })
  return {
    tables: [...tables].sort((a, b) => b.rows - a.rows || (a.name < b.name ? -1 : 1)),
    rows: tables.reduce((total, { rows }) => total + rows, 0),
    bytes: found.reduce((total, { bytes }) => total + bytes, 0)
  }
})

const count = (table: typeof Table.Type): Effect.Effect<Survey["tables"][number], SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const name = table.schema === "public" ? table.name : `${table.schema}.${table.name}`
    if (table.bytes > countableBytes) return { name, rows: Math.round(table.estimate), isExact: false }
    const [row] = yield* sql<{ readonly rows: string }>`
      SELECT count(*)::text AS rows FROM ${sql(table.schema)}.${sql(table.name)}`
    return { name, rows: Number(row?.rows ?? 0), isExact: true }
  })

/** Connections of others to a database; `application` is the name of our own. */
export const others = (
  database: string,
  application: string
): Effect.Effect<ReadonlyArray<Session>, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.flatMap(
      sql`SELECT pid, usename AS user, application_name AS application,
          coalesce(client_addr::text, 'this machine') AS address,
          pg_catalog.to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') AS since
        FROM pg_catalog.pg_stat_activity
        WHERE datname = ${database} AND backend_type = 'client backend'
          AND application_name IS DISTINCT FROM ${application}
        ORDER BY backend_start`,
      (rows) => Effect.orDie(Schema.decodeUnknown(Schema.Array(Session))(rows))
    )
  )
