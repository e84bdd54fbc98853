/**
 * Watches who blocks a session while it works.
 */
import type { SqlError } from "@effect/sql/SqlError"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schema from "effect/Schema"
import type { Blocker } from "./Event.ts"
import type { Session } from "./Session.ts"

const BlockerRow = Schema.Struct({
  pid: Schema.Int,
  application: Schema.NullOr(Schema.String),
  state: Schema.NullOr(Schema.String),
  query: Schema.NullOr(Schema.String),
  transactionMillis: Schema.NullOr(Schema.Number)
})

/**
 * The function under `pg_stat_activity` and not the view: the view joins shared catalogues, and would wait for a
 * migration that has one of them locked.
 */
const blockersQuery = (pid: number): string => `SELECT b.pid,
  a.application_name AS application, a.state, a.query,
  (EXTRACT(epoch FROM pg_catalog.clock_timestamp() - a.xact_start) * 1000)::float8 AS "transactionMillis"
FROM (SELECT DISTINCT pg_catalog.unnest(pg_catalog.pg_blocking_pids(${pid})) AS pid) b
LEFT JOIN pg_catalog.pg_stat_get_activity(NULL) a ON a.pid = b.pid`

/** Who blocks the backend `pid` at this moment. */
const blockersOf = (observer: Session, pid: number): Effect.Effect<ReadonlyArray<Blocker>, SqlError> =>
  Effect.gen(function* () {
    // Statistics stay as first read until the transaction ends, and the observer's is as long as the run.
    yield* observer.run("SELECT pg_catalog.pg_stat_clear_snapshot()")
    const rows = yield* observer.read(BlockerRow, blockersQuery(pid))
    return rows.map(({ application, pid, query, state, transactionMillis }) => ({
      pid,
      application: application ?? "",
      state: state ?? "in a state that this role may not see",
      query: query ?? "",
      transactionAge: transactionMillis === null ? undefined : Duration.millis(transactionMillis)
    }))
  })

/**
 * Runs an effect that makes the backend `pid` work, and reports who blocks it, for the first time after `patience`.
 *
 * The observer is the session that holds the lock. A statement that fails there, or is cancelled, ends its transaction
 * and with it the lock: hence `uninterruptible`, and the watcher is not waited for.
 */
export const watch = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  options: {
    readonly observer: Session
    readonly pid: number
    readonly patience: Duration.Duration
    readonly onBlocked: (blockers: ReadonlyArray<Blocker>) => Effect.Effect<void>
  }
): Effect.Effect<A, E, R> => {
  const look = Effect.uninterruptible(blockersOf(options.observer, options.pid)).pipe(
    Effect.flatMap((blockers) => (blockers.length > 0 ? options.onBlocked(blockers) : Effect.void)),
    // A lost session is found by the proof before the next step; here it only ends the watching.
    Effect.catchAll((error) => Effect.zipRight(Effect.logDebug("plinth: cannot see who blocks", error), Effect.never))
  )
  // A fiber inherits the region it is forked in, and an acquisition cannot be interrupted.
  const watching = Effect.interruptible(Effect.forever(Effect.delay(look, options.patience)))
  return Effect.acquireUseRelease(
    Effect.fork(watching),
    () => effect,
    (fiber) => Fiber.interruptFork(fiber)
  )
}
