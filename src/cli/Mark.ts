/**
 * What a database is for, as somebody has said it: a mark in the database itself, together with the identity of the
 * database that was marked, so that a clone is known for one.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Confirm from "./Confirm.ts"
import type { CommandError } from "./Exit.ts"
import { Output } from "./Output.ts"
import type { Stdio } from "./Stdio.ts"

/** What a mark can say. */
export const Environment = Schema.Literal("production", "development")

/** One of them. */
export type Environment = typeof Environment.Type

const Row = Schema.Struct({
  environment: Environment,
  /** The mark was made for this very database. Also true where the server does not tell its identity. */
  isOwn: Schema.Boolean,
  markedBy: Schema.String,
  markedAt: Schema.String
})

/** A mark that was found. */
export type Mark = typeof Row.Type

const Found = Schema.Struct({ found: Schema.Boolean })

/** `pg_control_system()` may be withheld by a managed service; then only the oid is compared. */
const identity = (allowed: boolean): string =>
  allowed ? "(SELECT system_identifier::text FROM pg_catalog.pg_control_system())" : "NULL::text"

const mayIdentify = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.flatMap(
    sql`SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE') AS found`,
    decodeFound
  )
)

const decodeFound = (rows: ReadonlyArray<unknown>): Effect.Effect<boolean> =>
  Effect.map(Effect.orDie(Schema.decodeUnknown(Schema.Tuple(Found))(rows)), ([row]) => row.found)

const tableExists = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.flatMap(
    sql`SELECT EXISTS (
      SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
      WHERE n.nspname = 'plinth' AND c.relname = 'environment'
    ) AS found`,
    decodeFound
  )
)

/** The mark of the database, if somebody has made one. */
const read: Effect.Effect<Option.Option<Mark>, SqlError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  if (!(yield* tableExists)) return Option.none()
  const rows = yield* sql.unsafe(
    `SELECT environment, marked_by AS "markedBy",
       pg_catalog.to_char(marked_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS "markedAt",
       database_oid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
         AND COALESCE(system_identifier = ${identity(yield* mayIdentify)}, true) AS "isOwn"
     FROM plinth.environment`
  )
  const [mark] = yield* Effect.orDie(Schema.decodeUnknown(Schema.Array(Row))(rows))
  return Option.fromNullable(mark)
})

/** Marks the database. The schema `plinth` is there. */
export const write = (environment: Environment): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql.unsafe(
      `INSERT INTO plinth.environment (environment, system_identifier, database_oid)
       SELECT $1, ${identity(yield* mayIdentify)}, oid FROM pg_catalog.pg_database
       WHERE datname = pg_catalog.current_database()
       ON CONFLICT (singleton) DO UPDATE SET environment = excluded.environment,
         system_identifier = excluded.system_identifier, database_oid = excluded.database_oid,
         marked_at = excluded.marked_at, marked_by = excluded.marked_by`,
      [environment]
    )
  })

/** The database is marked as production, and not a clone of one that is. A clone is told apart, with a warning. */
export const isProduction: Effect.Effect<boolean, SqlError, SqlClient.SqlClient | Output> = Effect.gen(function* () {
  const found = yield* read
  if (Option.isNone(found) || found.value.environment !== "production") return false
  if (found.value.isOwn) return true
  const { notice } = yield* Output
  yield* notice(
    `Warning: this database carries the mark "production" of another one (marked by ${found.value.markedBy} on ${found.value.markedAt}), so it is a clone. \`plinth config mark development\` says so for good.`
  )
  return false
})

/**
 * Asks for the database's name where it is production. `given` answers without a terminal; the name of another database
 * is refused on every one.
 */
export const confirmProduction = (
  database: string,
  given: Option.Option<string>
): Effect.Effect<void, SqlError | CommandError, SqlClient.SqlClient | Output | Stdio> =>
  Effect.gen(function* () {
    yield* Confirm.named(database, given)
    if (Option.isSome(given) || !(yield* isProduction)) return
    const isMarked = `"${database}" is marked as production`
    yield* Confirm.typed(`${isMarked}. Type its name to go on:`, database, `--database-name ${database}`, isMarked)
  })
