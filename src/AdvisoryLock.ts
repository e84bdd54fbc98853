/**
 * Advisory locks around effects: one process at a time does it, whichever host it runs on.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Layer from "effect/Layer"
import type { DatabaseError } from "./DatabaseError.ts"

/**
 * What is locked, in one database: a name, of which PostgreSQL makes a number of 64 bits by `hashtextextended`, that
 * number itself, or two of 32 bits.
 *
 * @since 0.1.0
 * @category models
 */
export type Key = string | bigint | readonly [number, number]

/**
 * @since 0.1.0
 * @category options
 */
export interface LockOptions {
  /**
   * How long to wait for whoever has it: `false` not at all, `true` without end. A wait in vain is `LockTimeout`. To the
   * server the wait is a statement: a `statement_timeout` ends it sooner, as `StatementTimeout`.
   *
   * @default true
   */
  readonly wait?: boolean | Duration.DurationInput | undefined
  /** Beside others who share it, and not beside one who does not. @default false */
  readonly shared?: boolean | undefined
  /**
   * "session" holds a connection of the pool for as long as it waits and the effect runs, which needs others for its own
   * statements, and gives the lock back at its end.
   * "transaction" takes it in the transaction that the fiber is in, or in one around the effect, and that transaction's
   * end gives it back; it also works behind a transaction pooler.
   *
   * @default "session"
   */
  readonly scope?: "session" | "transaction" | undefined
}

/**
 * @since 0.1.0
 * @category tags
 */
export class AdvisoryLock extends Context.Tag("plinth/AdvisoryLock")<
  AdvisoryLock,
  {
    /**
     * Runs an effect while the lock is held. When its session is lost, and with it the lock, the effect is interrupted
     * and this fails with `ConnectionLost`. Locks taken in a circle fail with `DeadlockDetected`. Not reentrant: the
     * same key inside waits for itself, unless both are in one transaction.
     */
    readonly withLock: <A, E, R>(
      key: Key,
      effect: Effect.Effect<A, E, R>,
      options?: LockOptions
    ) => Effect.Effect<A, E | DatabaseError, R>
  }
>() {}

/**
 * Runs an effect while the lock is held.
 *
 * @example
 * import { AdvisoryLock } from "effect-plinth"
 * import * as Effect from "effect/Effect"
 *
 * // On however many hosts it is started: one does it, and the others go on without.
 * const nightly = Effect.log("billing").pipe(
 *   AdvisoryLock.withLock("billing", { wait: false }),
 *   Effect.catchTag("DatabaseError", (error) => (error.reason === "LockTimeout" ? Effect.void : Effect.fail(error)))
 * )
 *
 * @since 0.1.0
 * @category combinators
 */
export const withLock: {
  (
    key: Key,
    options?: LockOptions
  ): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | DatabaseError, R | AdvisoryLock>
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    key: Key,
    options?: LockOptions
  ): Effect.Effect<A, E | DatabaseError, R | AdvisoryLock>
} = dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    key: Key,
    options?: LockOptions
  ): Effect.Effect<A, E | DatabaseError, R | AdvisoryLock> =>
    Effect.flatMap(AdvisoryLock, (locks) => locks.withLock(key, effect, options))
)

/**
 * Locks that nobody else wants: effects simply run. For tests without a database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest: Layer.Layer<AdvisoryLock> = Layer.succeed(AdvisoryLock, { withLock: (_, effect) => effect })
