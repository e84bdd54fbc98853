/**
 * What the pool's structure asks of connections, answered by PostgreSQL's wire: open, check, reset, roll back, end.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { PoolOptions } from "../ConnectionPool.ts"
import { DatabaseError } from "../DatabaseError.ts"
import type { Query } from "../internal/pg/Exchange.ts"
import { openTarget, withinConnectTimeout } from "../internal/pg/openTarget.ts"
import * as TypeParsers from "../internal/pg/typeParsers.ts"
import type { WireConnection } from "../internal/pg/WireConnection.ts"
import type { Driver, PoolCore } from "./Core.ts"

/** Prepared statements kept per connection. */
const statementLimit = 256

/** The driver of a pool's structure for connections of PostgreSQL's wire. */
export const wireDriver = (options: PoolOptions): Driver<WireConnection> => {
  const { onOpen, settings, target } = options
  const opened = openTarget(target, {
    statementLimit: settings.prepare && settings.pooler === "none" ? statementLimit : 0,
    types: options.types === undefined ? undefined : TypeParsers.make(options.types),
    statementTimeout: settings.statementTimeout
  })
  return {
    open:
      onOpen === undefined
        ? opened
        : Effect.flatMap(opened, (connection) =>
            Effect.as(
              Effect.onError(withinConnectTimeout(target, onOpen(connection)), () => connection.end),
              connection
            )
          ),
    // An exchange without statements is a bare Sync, the cheapest round trip there is.
    check: (connection) => withDeadline(connection, settings.validateTimeout, []),
    condition: (connection) => (!connection.idle ? "busy" : connection.status === "I" ? "clean" : "open"),
    dropOverdue: (connection) => connection.dropOverdue(),
    reset:
      settings.sessionReset === "none"
        ? undefined
        : (connection) => withDeadline(connection, settings.validateTimeout, [{ text: "DISCARD ALL", params: [] }]),
    restore: (connection) => withDeadline(connection, settings.validateTimeout, [{ text: "ROLLBACK", params: [] }]),
    end: (connection) => connection.end,
    drop: (connection) => connection.destroy()
  }
}

/** A round trip on a connection that nobody has; one that does not answer in time is dropped and not cancelled. */
const withDeadline = (
  connection: WireConnection,
  duration: Duration.Duration,
  steps: ReadonlyArray<Query>
): Effect.Effect<void, DatabaseError> =>
  Effect.async<void, DatabaseError>((resume) => {
    connection.unsafeRun(steps, { operation: "check" }, (error) =>
      resume(error === undefined ? Effect.void : Effect.fail(error))
    )
  }).pipe(
    Effect.interruptible,
    Effect.timeoutFail({
      duration,
      onTimeout: () =>
        new DatabaseError({
          reason: "ConnectionLost",
          operation: "check",
          description: `an idle connection did not answer within ${Duration.format(duration)}`,
          node: connection.node
        })
    }),
    Effect.tapError(() => Effect.sync(() => connection.destroy("it did not answer when it was checked")))
  )

/** Waits for the connections in use, then cancels what runs on them and drops them. */
export const close = (core: PoolCore<WireConnection>, timeout: Duration.Duration): Effect.Effect<void> =>
  Effect.async<void>((resume) => core.close(() => resume(Effect.void))).pipe(
    // A finalizer cannot be interrupted, and so its deadline would not hold.
    Effect.interruptible,
    Effect.timeoutOption(timeout),
    Effect.zipRight(
      Effect.suspend(() => Effect.forEach(core.connections, ({ stop }) => stop, { concurrency: 16, discard: true }))
    ),
    Effect.zipRight(Effect.sync(() => core.evict("closed")))
  )
