/**
 * A guarded reading session on one node: read only, with short timeouts, under `search_path = pg_catalog`, so that a
 * check can neither wait for a lock, nor run on, nor be led to a user's function by name. Relations in the checks are
 * schema-qualified besides, because `pg_temp` is searched first for them.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import * as DatabaseErrors from "../DatabaseError.ts"
import { DatabaseError } from "../DatabaseError.ts"
import type { Facts, Node, Target } from "../HealthCheck.ts"

/** A check waits this long for a lock. A table under ACCESS EXCLUSIVE makes its answer unknown and blocks nothing. */
const lockTimeoutMillis = 100

/** The server ends a statement a little before the client would give up on it: so the connection stays usable. */
const serverShare = 0.8

const FactRow = Schema.Struct({
  serverVersion: Schema.Int,
  inRecovery: Schema.Boolean,
  user: Schema.String,
  database: Schema.String,
  server: Schema.String,
  privileges: Schema.Array(Schema.Literal("pg_read_all_stats", "pg_read_all_data"))
})

const factsSql = `
SELECT current_setting('server_version_num')::int AS "serverVersion",
       pg_is_in_recovery() AS "inRecovery",
       quote_ident(current_user) AS "user",
       current_database()::text AS "database",
       -- The port and the microsecond of the start: an address would differ by the way that leads to it, the system
       -- identifier is also that of every standby.
       concat_ws(' ', current_setting('port'), extract(epoch FROM pg_postmaster_start_time())) AS "server",
       ARRAY(SELECT role FROM unnest(ARRAY['pg_read_all_stats', 'pg_read_all_data']) AS role
             WHERE pg_has_role(current_user, role, 'USAGE')) AS "privileges"`

/** A node that was asked what it is, and when and whether it answered. */
export interface Session extends Pick<Node, "facts" | "millis"> {
  readonly target: Target
}

/**
 * Asks a node what it is. Never fails: a node that does not answer is a node, too.
 */
export const open = Effect.fnUntraced(function* (target: Target, deadline: Duration.Duration) {
  const startedMillis = yield* Clock.currentTimeMillis
  const facts: Either.Either<Facts, DatabaseError> = yield* guarded(target, factsSql, deadline).pipe(
    Effect.flatMap(Schema.decodeUnknown(Schema.Tuple(FactRow))),
    Effect.map(([facts]) => facts),
    Effect.mapError((error) => DatabaseErrors.from(error)),
    // The server may be frozen and never finish the cancellation either, so it is not waited for.
    Effect.disconnect,
    Effect.timeoutFail({ duration: deadline, onTimeout: () => noAnswer(target, deadline) }),
    Effect.either
  )
  return { target, facts, millis: (yield* Clock.currentTimeMillis) - startedMillis } satisfies Session
})

/** The session as a check sees it, with the check's own deadline on every statement. */
export const node = (session: Session, deadline: Duration.Duration): Node => ({
  name: session.target.name,
  role: session.target.role,
  facts: session.facts,
  millis: session.millis,
  query: (sql) => guarded(session.target, sql, deadline)
})

const noAnswer = (target: Target, deadline: Duration.Duration): DatabaseError =>
  new DatabaseError({
    reason: "StatementTimeout",
    operation: "health check",
    description: `no answer within ${Duration.format(deadline)}`,
    node: target.name
  })

const guarded = (
  target: Target,
  sql: string,
  deadline: Duration.Duration
): Effect.Effect<ReadonlyArray<unknown>, DatabaseError> => {
  const client = target.run.withoutTransforms()
  const settings = client.unsafe<object>(
    `SELECT pg_catalog.set_config('transaction_read_only', 'on', true),
            pg_catalog.set_config('search_path', 'pg_catalog', true),
            pg_catalog.set_config('lock_timeout', $1, true),
            pg_catalog.set_config('statement_timeout', $2, true)`,
    [String(lockTimeoutMillis), String(Math.ceil(serverShare * Duration.toMillis(deadline)))]
  )
  return client.withTransaction(Effect.zipRight(settings, client.unsafe<object>(sql))).pipe(
    Effect.mapError(DatabaseErrors.from),
    // A client may report a failed COMMIT or ROLLBACK as a defect; the check only wants to know that it cannot see.
    Effect.catchAllDefect((defect) => Effect.fail(DatabaseErrors.from(defect)))
  )
}
