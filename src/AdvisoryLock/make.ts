/**
 * Takes advisory locks on sessions of a backend, or in its transactions.
 */
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { AdvisoryLock, Key, LockOptions } from "../AdvisoryLock.ts"
import type { PooledConnection, Restore } from "../ConnectionPool.ts"
import { DatabaseError } from "../DatabaseError.ts"
import type { Query } from "../internal/pg/Exchange.ts"
import type { Result } from "../internal/pg/Result.ts"
import type { SqlBackend } from "../internal/SqlBackend.ts"
import type { Runner } from "../Transaction/Runner.ts"

/** A session that holds a lock shows this often that it is there: TCP alone may not notice its end for minutes. */
const heartbeatInterval = "5 seconds"

/** How long an answer may take before the session is taken for lost, in milliseconds. */
const heartbeatTimeout = 5_000

type Run = (query: Query) => Effect.Effect<ReadonlyArray<Result>, DatabaseError>

export const make = (backend: SqlBackend, runner: Runner): AdvisoryLock["Type"] => {
  const failure = (reason: "LockTimeout" | "SessionStatement", description: string): DatabaseError =>
    new DatabaseError({ reason, operation: "lock", description, node: backend.name })

  /** Fails when it was not to be had in the time given. */
  const acquire = (run: Run, key: Key, options: LockOptions): Effect.Effect<void, DatabaseError> => {
    const { wait = true } = options
    const held = (how: string) =>
      failure("LockTimeout", `the advisory lock ${nameOf(key)} is held by another session${how}`)
    if (wait === false) {
      return Effect.flatMap(run(lockQuery(key, options, "try")), ([result]) =>
        result?.rows[0]?.locked === true ? Effect.void : Effect.fail(held(""))
      )
    }
    const waiting = run(lockQuery(key, options, "wait"))
    return Effect.asVoid(
      wait === true
        ? waiting
        : Effect.timeoutFail(waiting, {
            duration: wait,
            onTimeout: () => held(`, and was not given back within ${Duration.format(wait)}`)
          })
    )
  }

  const inSession = <A, E, R>(
    key: Key,
    effect: Effect.Effect<A, E, R>,
    options: LockOptions,
    restore: Restore
  ): Effect.Effect<A, E | DatabaseError, R> =>
    Effect.flatMap(backend.lease({ access: "read write" }, restore), ({ connection, release }) =>
      restore(
        Effect.zipRight(
          acquire((query) => connection.run([query], { operation: "lock" }), key, options),
          Effect.raceFirst(effect, lossOf(connection))
        )
      ).pipe(
        // Also when it was interrupted: the server may have given the lock before it was told to stop.
        Effect.ensuring(giveBack(connection)),
        Effect.ensuring(release)
      )
    )

  const inTransaction = <A, E, R>(
    key: Key,
    effect: Effect.Effect<A, E, R>,
    options: LockOptions
  ): Effect.Effect<A, E | DatabaseError, R> => {
    const onLevel: Run = (query) =>
      Effect.contextWithEffect((context: Context.Context<never>) => {
        const current = runner.current(context)
        // The caller has opened one.
        return current === undefined ? Effect.dieMessage("no transaction") : current.level.run([query])
      })
    const taken = acquire(onLevel, key, options)
    // A wait that is cut short fails its statement, which must not take the rest of the transaction with it.
    const isTimed = options.wait !== undefined && typeof options.wait !== "boolean"
    const locked = isTimed ? runner.service.run(taken) : taken
    return runner.service.run(Effect.zipRight(locked, effect), { propagation: "required" })
  }

  return {
    withLock: (key, effect, options = {}) =>
      options.scope === "transaction"
        ? inTransaction(key, effect, options)
        : backend.keepsSessions
          ? Effect.uninterruptibleMask((restore) => inSession(key, effect, options, restore))
          : Effect.fail(
              failure(
                "SessionStatement",
                'behind a pooler a session is somebody else\'s at the next transaction; use scope "transaction"'
              )
            )
  }
}

/** Never ends while the session is there. */
const lossOf = (connection: PooledConnection): Effect.Effect<never, DatabaseError> =>
  Effect.raceFirst(
    connection.lost,
    Effect.forever(
      Effect.delay(connection.run([], { operation: "lock", replyWithin: heartbeatTimeout }), heartbeatInterval)
    )
  )

/** A session that does not answer is dropped by its pool, and the lock goes with it. */
const giveBack = (connection: PooledConnection): Effect.Effect<void> =>
  Effect.ignore(
    connection.run([{ text: "SELECT pg_catalog.pg_advisory_unlock_all()", params: [] }], {
      operation: "unlock",
      replyWithin: heartbeatTimeout
    })
  )

const lockQuery = (key: Key, { scope, shared }: LockOptions, how: "try" | "wait"): Query => {
  const name = [
    how === "try" ? "pg_try_advisory" : "pg_advisory",
    ...(scope === "transaction" ? ["xact"] : []),
    "lock",
    ...(shared === true ? ["shared"] : [])
  ].join("_")
  const call =
    typeof key === "string"
      ? { args: "pg_catalog.hashtextextended($1, 0)", params: [key] }
      : typeof key === "bigint"
        ? { args: "$1::bigint", params: [String(key)] }
        : { args: "$1::int, $2::int", params: [...key] }
  return { text: `SELECT pg_catalog.${name}(${call.args}) AS locked`, params: call.params, types: "stock" }
}

const nameOf = (key: Key): string =>
  typeof key === "object" ? `(${key.join(", ")})` : typeof key === "string" ? JSON.stringify(key) : String(key)
