/**
 * The named retry schedules, keyed on why an operation failed, and the only retry loop.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import * as Option from "effect/Option"
import * as Schedule from "effect/Schedule"
import type { Reason } from "./DatabaseError.ts"
import * as DatabaseError from "./DatabaseError.ts"
import type { RetryBudget } from "./RetryPolicy/RetryBudget.ts"

export { makeBudget } from "./RetryPolicy/RetryBudget.ts"
export type { RetryBudget, RetryBudgetOptions } from "./RetryPolicy/RetryBudget.ts"

/**
 * A schedule for `Effect.retry`. It takes any error, looks at the `DatabaseError` behind it, and counts the retries.
 *
 * @since 0.1.0
 * @category models
 */
export type RetryPolicy = Schedule.Schedule<number, unknown>

/**
 * @since 0.1.0
 * @category options
 */
export interface Options {
  /** The failures that are tried again; anything that is not a database's failure never is. */
  readonly reasons: ReadonlyArray<Reason>
  /** The first wait, doubled after each try. */
  readonly initial: Duration.DurationInput
  /** No wait is longer. */
  readonly max: Duration.DurationInput
  /** Retries after the first try. */
  readonly retries: number
}

/**
 * An exponential schedule, capped and bounded. Each wait is drawn from the upper half of its span ("equal jitter"), so
 * that clients which failed together do not come back together.
 *
 * @see https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): RetryPolicy => {
  const reasons: ReadonlySet<Reason> = new Set(options.reasons)
  return Schedule.exponential(options.initial).pipe(
    Schedule.modifyDelay((_, delay) => Duration.min(delay, options.max)),
    Schedule.jitteredWith({ min: 0.5, max: 1 }),
    Schedule.intersect(Schedule.recurs(options.retries)),
    Schedule.map(([, retries]) => retries + 1),
    Schedule.whileInput((error: unknown) =>
      Option.exists(DatabaseError.find(error), ({ reason }) => reasons.has(reason))
    )
  )
}

/** After these a new connection, or the same server a little later, may do. */
const connectReasons: ReadonlyArray<Reason> = [
  "ConnectionRefused",
  "ConnectionLost",
  "CannotConnectNow",
  "TooManyConnections",
  "AdminShutdown"
]

/**
 * Opening a connection: 100 ms doubling to 5 s, ten retries, about 25 s in all.
 *
 * @since 0.1.0
 * @category policies
 */
export const connect: RetryPolicy = make({
  reasons: connectReasons,
  initial: "100 millis",
  max: "5 seconds",
  retries: 10
})

/**
 * Running a whole transaction again: 10 ms doubling to 1 s, five tries. A recovery conflict is not in it: in place it
 * would meet the same replay again, and the router moves it to another node.
 *
 * @since 0.1.0
 * @category policies
 */
export const transaction: RetryPolicy = make({
  reasons: ["SerializationFailure", "DeadlockDetected", ...connectReasons],
  initial: "10 millis",
  max: "1 second",
  retries: 4
})

/**
 * Waiting for the lock of a schema change, with a short `lock_timeout` in each try so that nobody queues behind it:
 * 500 ms doubling to 30 s, ten retries, about two minutes in all.
 *
 * @since 0.1.0
 * @category policies
 */
export const ddlLock: RetryPolicy = make({
  reasons: ["LockTimeout", "DeadlockDetected"],
  initial: "500 millis",
  max: "30 seconds",
  retries: 10
})

/**
 * Retries an effect by a policy. With a budget, the call is counted, and a retry after a connection failure has to be
 * granted by it; conflicts between transactions are bounded by the policy alone.
 *
 * @since 0.1.0
 * @category combinators
 */
export const retry: {
  (
    policy: RetryPolicy,
    options?: { readonly budget?: RetryBudget | undefined }
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    policy: RetryPolicy,
    options?: { readonly budget?: RetryBudget | undefined }
  ): Effect.Effect<A, E, R>
} = dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    policy: RetryPolicy,
    options: { readonly budget?: RetryBudget | undefined } = {}
  ): Effect.Effect<A, E, R> => {
    const { budget } = options
    if (budget === undefined) return Effect.retry(self, policy)
    const granted = Schedule.whileInputEffect(policy, (error) =>
      Option.exists(DatabaseError.find(error), (found) => found.isConnectionFailure)
        ? budget.withdraw
        : Effect.succeed(true)
    )
    return Effect.zipRight(budget.deposit, Effect.retry(self, granted))
  }
)
