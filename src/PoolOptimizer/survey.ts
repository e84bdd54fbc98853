/**
 * What a server says of its limits, of who is connected, and of the work that it does.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as DatabaseErrors from "../DatabaseError.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import type { Workload } from "./Workload.ts"

const Limits = Schema.Tuple(
  Schema.Struct({
    maxConnections: Schema.Int,
    superuserReserved: Schema.Int,
    reserved: Schema.Int,
    /** Whether the state of other users' sessions is visible. */
    seesAll: Schema.Boolean
  })
)

const Application = Schema.Struct({
  application: Schema.String,
  connections: Schema.Int,
  active: Schema.Int,
  idleInTransaction: Schema.Int
})

/**
 * Connections of one `application_name`.
 *
 * @since 0.1.0
 * @category models
 */
export type Application = typeof Application.Type

/**
 * @since 0.1.0
 * @category models
 */
export interface Survey {
  readonly maxConnections: number
  readonly superuserReserved: number
  readonly reserved: number
  /** Without those of whoever asks, the largest first. */
  readonly applications: ReadonlyArray<Application>
  /** False: what other users' sessions do is hidden; GRANT pg_monitor shows it. */
  readonly seesAll: boolean
}

/**
 * Reads the limits and the connections of a server. Connections under one's own `application_name` are not counted:
 * give the client one of its own.
 *
 * @since 0.1.0
 * @category measuring
 */
export const survey: Effect.Effect<Survey, DatabaseError, SqlClient.SqlClient> = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const [limits] = yield* sql`
    SELECT current_setting('max_connections')::int AS "maxConnections",
      current_setting('superuser_reserved_connections')::int AS "superuserReserved",
      coalesce(current_setting('reserved_connections', true)::int, 0) AS "reserved",
      pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS "seesAll"`.pipe(decode(Limits))
  // Who may not see others' backend_type still sees their database.
  const applications = yield* sql`
    SELECT coalesce(nullif(application_name, ''), 'without application_name') AS application,
      count(*)::int AS connections,
      (count(*) FILTER (WHERE state = 'active'))::int AS active,
      (count(*) FILTER (WHERE state LIKE 'idle in transaction%'))::int AS "idleInTransaction"
    FROM pg_catalog.pg_stat_activity
    WHERE (backend_type = 'client backend' OR backend_type IS NULL AND datid IS NOT NULL)
      AND application_name IS DISTINCT FROM current_setting('application_name')
    GROUP BY 1 ORDER BY 2 DESC, 1`.pipe(decode(Schema.Array(Application)))
  return { ...limits, applications }
}).pipe(Effect.mapError(DatabaseErrors.from))

const Counters = Schema.Tuple(
  Schema.Struct({
    atMs: Schema.Number,
    transactions: Schema.Number,
    activeMs: Schema.Number,
    heldMs: Schema.Number,
    isTracked: Schema.Boolean
  })
)

/**
 * The work of a database within a window. `workload` is absent where there was too little of it, or where the server
 * does not keep the time (`track_activities` is off).
 *
 * @since 0.1.0
 * @category models
 */
export interface Sample {
  readonly elapsedMs: number
  readonly transactions: number
  /** The fastest of a few round trips from here. */
  readonly roundTripMs: number
  readonly workload: Workload | undefined
  /** Why there is no workload. */
  readonly reason: string | undefined
}

/** Fewer transactions in a window than this are no rate. */
const minTransactions = 50

/**
 * Watches the current database for a while: transactions from `xact_commit` and `xact_rollback`, the time that each holds
 * a connection from `active_time` and `idle_in_transaction_time` of `pg_stat_database` (PostgreSQL 14), and one round
 * trip on top, in which the connection is the client's though the server does not know of it.
 *
 * Sessions report their counters once a second while they work and up to ten seconds later when they do not, and one that
 * touches no table reports nothing: a window of a few seconds is for busy databases.
 *
 * @since 0.1.0
 * @category measuring
 */
export const sample = (window: Duration.DurationInput): Effect.Effect<Sample, DatabaseError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const roundTripMs = yield* roundTrip
    const before = yield* counters
    yield* Effect.sleep(window)
    const after = yield* counters
    const elapsedMs = after.atMs - before.atMs
    const transactions = after.transactions - before.transactions
    const heldMs = (after.heldMs - before.heldMs) / transactions
    const reason =
      transactions < minTransactions
        ? `only ${Math.max(0, transactions)} transactions were reported in ${Duration.format(Duration.decode(window))}, which is no rate`
        : !(heldMs > 0)
          ? after.isTracked
            ? "the server reported no time for its transactions"
            : "track_activities is off, so the server keeps no time"
          : undefined
    const workload =
      reason === undefined
        ? {
            arrivalsPerSecond: (1000 * transactions) / elapsedMs,
            use: heldMs + roundTripMs,
            active: (after.activeMs - before.activeMs) / transactions
          }
        : undefined
    return { elapsedMs, transactions, roundTripMs, workload, reason }
  }).pipe(Effect.mapError(DatabaseErrors.from))

const counters = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    sql`
      SELECT extract(epoch FROM pg_catalog.clock_timestamp())::float8 * 1000 AS "atMs",
        (xact_commit + xact_rollback)::float8 AS transactions,
        active_time AS "activeMs",
        active_time + idle_in_transaction_time AS "heldMs",
        current_setting('track_activities')::bool AS "isTracked"
      FROM pg_catalog.pg_stat_database WHERE datname = current_database()`.pipe(decode(Counters)),
    ([row]) => row
  )
)

/** The fastest of five: the others have waited for something. */
const roundTrip = Effect.flatMap(SqlClient.SqlClient, (sql) =>
  Effect.map(
    Effect.replicateEffect(
      Effect.map(Effect.timed(sql`SELECT 1`), ([elapsed]) => Duration.toMillis(elapsed)),
      5
    ),
    (times) => Math.min(...times)
  )
)

/** The shapes of the rows are constant, unless the client was given parsers or transforms of its own. */
const decode = <A, I>(schema: Schema.Schema<A, I>) => {
  const decodeRows = Schema.decodeUnknown(schema)
  return <E, R>(rows: Effect.Effect<ReadonlyArray<object>, E, R>) =>
    Effect.flatMap(rows, (found) =>
      Effect.mapError(
        decodeRows(found),
        (cause) =>
          new DatabaseErrors.DatabaseError({
            reason: "InvalidData",
            operation: "survey",
            description:
              "the client's own parsers or transforms of names changed what the server reports; use a client without them",
            cause
          })
      )
    )
}
