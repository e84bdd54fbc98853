/**
 * Makes and drops databases, from a connection to another database of the same server.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { Settings } from "../DatabaseConfig.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import type { Clients } from "./Clients.ts"
import { client } from "./Clients.ts"

/** What a database is beside its content. */
const Definition = Schema.Struct({
  owner: Schema.String,
  encoding: Schema.String,
  collate: Schema.String,
  ctype: Schema.String,
  /** `c`, `i` or `b`; absent before 15. */
  provider: Schema.NullOr(Schema.String),
  locale: Schema.NullOr(Schema.String),
  connectionLimit: Schema.Number,
  comment: Schema.NullOr(Schema.String),
  settings: Schema.Array(Schema.String),
  /** Absent: the default privileges. */
  privileges: Schema.NullOr(
    Schema.Array(Schema.Struct({ grantee: Schema.String, privilege: Schema.String, grantable: Schema.Boolean }))
  )
})

/** What is carried over to the database that takes its place. */
export type Definition = typeof Definition.Type

/** Runs an effect in the maintenance database: `postgres`, or `template1` where `postgres` itself is the subject. */
export const inMaintenance = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  settings: Settings
): Effect.Effect<A, E | DatabaseError, Exclude<R, Clients>> => {
  const database = settings.primary.database === "postgres" ? "template1" : "postgres"
  return Effect.provide(effect, client({ ...settings.primary, database }, settings))
}

/** The definition of a database, if there is one of that name. */
export const read = (name: string): Effect.Effect<Option.Option<Definition>, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    // Through JSON, since the columns of the locale differ by version.
    const rows = yield* sql`
      SELECT
        pg_catalog.pg_get_userbyid(d.datdba) AS owner,
        pg_catalog.pg_encoding_to_char(d.encoding) AS encoding,
        d.datcollate AS collate,
        d.datctype AS ctype,
        j.row ->> 'datlocprovider' AS provider,
        coalesce(j.row ->> 'datlocale', j.row ->> 'daticulocale') AS locale,
        d.datconnlimit AS "connectionLimit",
        pg_catalog.shobj_description(d.oid, 'pg_database') AS comment,
        coalesce(
          (SELECT setconfig FROM pg_catalog.pg_db_role_setting WHERE setdatabase = d.oid AND setrole = 0),
          '{}'
        ) AS settings,
        CASE WHEN d.datacl IS NOT NULL THEN (
          SELECT coalesce(jsonb_agg(jsonb_build_object(
            'grantee', CASE WHEN a.grantee = 0 THEN '' ELSE pg_catalog.pg_get_userbyid(a.grantee) END,
            'privilege', a.privilege_type,
            'grantable', a.is_grantable
          )), '[]') FROM pg_catalog.aclexplode(d.datacl) a
        ) END AS privileges
      FROM pg_catalog.pg_database d CROSS JOIN LATERAL (SELECT to_jsonb(d) AS row) j
      WHERE d.datname = ${name}`
    const [definition] = yield* Effect.orDie(Schema.decodeUnknown(Schema.Array(Definition))(rows))
    return Option.fromNullable(definition)
  })

/** Drops a database. `force` ends the connections to it; without, one connection is enough to be refused (55006). */
export const drop = (name: string, force: boolean): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(
    SqlClient.SqlClient,
    (sql) => sql`DROP DATABASE ${sql(name)} ${sql.literal(force ? "WITH (FORCE)" : "")}`
  )

/** Drops a database that nobody knows of yet. */
export const dropIfExists = (name: string): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DROP DATABASE IF EXISTS ${sql(name)}`)

/** Makes a database with the server's defaults. */
export const createPlain = (name: string): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE DATABASE ${sql(name)}`)

/** Makes a database by the definition of the one that it replaces. */
export const create = (name: string, definition: Definition): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const statements = creation(name, definition)
    yield* Effect.forEach(statements, (statement) => sql.unsafe(statement), { discard: true })
  })

/** Gives a database another name; nobody may be connected to it. */
export const rename = (name: string, to: string): Effect.Effect<void, SqlError, SqlClient.SqlClient> =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => sql`ALTER DATABASE ${sql(name)} RENAME TO ${sql(to)}`)

const creation = (name: string, definition: Definition): ReadonlyArray<string> => {
  const database = identifier(name)
  const { collate, comment, connectionLimit, ctype, encoding, locale, owner, privileges, provider, settings } =
    definition
  const providers: Readonly<Record<string, string>> = {
    i: ` LOCALE_PROVIDER icu ICU_LOCALE ${literal(locale ?? "")}`,
    b: ` LOCALE_PROVIDER builtin BUILTIN_LOCALE ${literal(locale ?? "")}`
  }
  return [
    `CREATE DATABASE ${database} TEMPLATE template0 OWNER ${identifier(owner)} ENCODING ${literal(encoding)} ` +
      `LC_COLLATE ${literal(collate)} LC_CTYPE ${literal(ctype)}${providers[provider ?? ""] ?? ""} ` +
      `CONNECTION LIMIT ${connectionLimit}`,
    ...(comment === null ? [] : [`COMMENT ON DATABASE ${database} IS ${literal(comment)}`]),
    ...settings.map((setting) => {
      const equals = setting.indexOf("=")
      const parameter = setting.slice(0, equals)
      const value = setting.slice(equals + 1)
      // The stored value of a list of names is already quoted, name by name.
      return `ALTER DATABASE ${database} SET ${identifier(parameter)} TO ${lists.has(parameter) ? value : literal(value)}`
    }),
    ...(privileges === null ? [] : [`REVOKE ALL ON DATABASE ${database} FROM PUBLIC`]),
    ...(privileges ?? []).map(
      ({ grantable, grantee, privilege }) =>
        `GRANT ${privilege} ON DATABASE ${database} TO ${grantee === "" ? "PUBLIC" : identifier(grantee)}` +
        (grantable ? " WITH GRANT OPTION" : "")
    )
  ]
}

/** Settings that pg_dump, too, takes as they are stored (`variable_is_guc_list_quote`). */
const lists = new Set([
  "local_preload_libraries",
  "search_path",
  "session_preload_libraries",
  "shared_preload_libraries",
  "temp_tablespaces"
])

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`
