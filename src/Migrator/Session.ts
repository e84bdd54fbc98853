/**
 * A connection that belongs to the migrator for the length of a run, prepared for it and given back as it came.
 */
import type { Connection } from "@effect/sql/SqlConnection"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"

/** What a run needs to know about the server and this connection to it. */
export interface Facts {
  /** As in `server_version_num`: 150018 is 15.18. */
  readonly serverVersion: number
  readonly inRecovery: boolean
  readonly role: string
  /** Settings that somebody made for this session before us. */
  readonly settings: ReadonlyArray<{ readonly name: string; readonly value: string }>
}

/** A dedicated connection. */
export interface Session {
  readonly connection: Connection
  readonly facts: Facts
  /** Runs text by the simple protocol; several statements are allowed, and their rows are not looked at. */
  readonly run: (sql: string) => Effect.Effect<void, SqlError>
  /** Reads rows by the simple protocol, which keeps no snapshot behind. */
  readonly read: <A, I>(schema: Schema.Schema<A, I>, sql: string) => Effect.Effect<ReadonlyArray<A>, SqlError>
  /** Becomes again the role that the session began as, whatever role a migration has taken on. */
  readonly resumeRole: Effect.Effect<void, SqlError>
  /** Brings the session back to the state in which a migration starts: what the last one SET is forgotten. */
  readonly reset: Effect.Effect<void, SqlError>
}

const FactsRow = Schema.Tuple(
  Schema.Struct({
    serverVersion: Schema.Int,
    inRecovery: Schema.Boolean,
    role: Schema.String,
    settings: Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String }))
  })
)

const factsQuery = `SELECT
  pg_catalog.current_setting('server_version_num')::int AS "serverVersion",
  pg_catalog.pg_is_in_recovery() AS "inRecovery",
  pg_catalog.current_setting('role') AS role,
  COALESCE(
    (
      SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object(
        'name', name,
        'value', pg_catalog.current_setting(name)
      ))
      FROM pg_catalog.pg_settings WHERE source = 'session' AND context IN ('user', 'superuser')
    ),
    '[]'::jsonb
  ) AS settings`

/** Quotes a string as a literal; needs `standard_conforming_strings`. */
export const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`

const identifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

const roleOf = (facts: Facts): ReadonlyArray<string> => [
  "RESET SESSION AUTHORIZATION",
  facts.role === "none" ? "SET ROLE NONE" : `SET ROLE ${identifier(facts.role)}`
]

/**
 * Statements that bring a session back to `facts`. `DISCARD ALL` would do more, and drop the prepared statements that
 * the owner of the connection still counts on.
 */
const restore = (facts: Facts): ReadonlyArray<string> => [
  "RESET ALL",
  ...roleOf(facts),
  ...facts.settings.map(
    ({ name, value }) => `SELECT pg_catalog.set_config(${literal(name)}, ${literal(value)}, false)`
  ),
  "DISCARD TEMP"
]

/**
 * Settings of a migrating session. A killed client's statement ends within a second, a vanished host's after the keep
 * alive probes; a wedged client does not hold its locks for ever; a role's own limits do not cut a long migration.
 */
const preparation = (applicationName: string, facts: Facts): ReadonlyArray<string> => [
  `SET application_name = ${literal(applicationName)}`,
  "SET standard_conforming_strings = on",
  "SET statement_timeout = 0",
  "SET lock_timeout = 0",
  "SET idle_in_transaction_session_timeout = '60s'",
  ...(facts.serverVersion >= 170000 ? ["SET transaction_timeout = 0"] : []),
  "SET tcp_keepalives_idle = 30",
  "SET tcp_keepalives_interval = 5",
  "SET tcp_keepalives_count = 3"
]

/** `client_connection_check_interval` exists from 14 and is refused by servers on systems without support. */
const checkClient = (run: Session["run"], facts: Facts): Effect.Effect<void> =>
  facts.serverVersion < 140000
    ? Effect.logWarning("plinth: this server does not notice a killed client while a statement runs")
    : run("SET client_connection_check_interval = '1s'").pipe(
        Effect.catchAll((error) =>
          Effect.logWarning("plinth: this server does not notice a killed client while a statement runs", error)
        )
      )

/** Reserves and prepares a connection; it is rolled back and restored when the scope closes. */
export const make = Effect.fnUntraced(function* <E>(
  reserve: Effect.Effect<Connection, E, Scope.Scope>,
  applicationName: string
): Effect.fn.Return<Session, SqlError | E, Scope.Scope> {
  const connection = yield* reserve
  const run: Session["run"] = (sql) => Effect.asVoid(connection.executeUnprepared(sql, [], undefined))
  const read: Session["read"] = (schema, sql) =>
    Effect.flatMap(connection.executeUnprepared(sql, [], undefined), (rows) =>
      Effect.orDie(Schema.decodeUnknown(Schema.Array(schema))(rows))
    )
  const [facts] = yield* Effect.flatMap(connection.executeUnprepared(factsQuery, [], undefined), (rows) =>
    Effect.orDie(Schema.decodeUnknown(FactsRow)(rows))
  )
  const prepare = Effect.zipRight(
    run([...restore(facts), ...preparation(applicationName, facts)].join("; ")),
    checkClient(run, facts)
  )
  // ROLLBACK ends whatever is left and is a warning where nothing is. A connection that is gone cannot be restored,
  // and its pool finds out by itself.
  yield* Effect.addFinalizer(() =>
    run("ROLLBACK").pipe(
      Effect.zipRight(run(restore(facts).join("; "))),
      Effect.catchAll((error) => Effect.logDebug("plinth: a migration session could not be restored", error))
    )
  )
  yield* prepare
  return { connection, facts, run, read, resumeRole: run(roleOf(facts).join("; ")), reset: prepare }
})
