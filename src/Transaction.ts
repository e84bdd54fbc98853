/**
 * BEGIN .. COMMIT around an effect, with every failure typed: isolation, access, savepoints, retry of the whole, and
 * effects that wait for the commit.
 *
 * @since 0.1.0
 */
import type { Statement } from "@effect/sql/Statement"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { dual } from "effect/Function"
import type * as Schedule from "effect/Schedule"
import { from } from "./DatabaseError.ts"
import type { DatabaseError } from "./DatabaseError.ts"
import { batchRows } from "./internal/pg/batchRows.ts"
import type { BatchRows } from "./internal/pg/batchRows.ts"

/**
 * @since 0.1.0
 * @category options
 */
export interface TransactionOptions {
  /** @default the server's `default_transaction_isolation`, normally "read committed" */
  readonly isolation?: "read committed" | "repeatable read" | "serializable" | undefined
  /**
   * "read only" transactions may run on a replica and cannot write.
   *
   * @default "read write"
   */
  readonly access?: "read only" | "read write" | undefined
  /** Waits for a snapshot that needs no conflict checks; for serializable read-only transactions. @default false */
  readonly deferrable?: boolean | undefined
  /** Deadline of each attempt; the server's `statement_timeout` is set to it too. @default none */
  readonly timeout?: Duration.DurationInput | undefined
  /** `lock_timeout` inside the transaction. @default the server's */
  readonly lockTimeout?: Duration.DurationInput | undefined
  /**
   * Run the whole effect again, with fresh state, when the failure says `isRetryable`: a serialization failure, a
   * deadlock, a connection lost before COMMIT was sent. A commit in doubt is never repeated. Only the outermost
   * transaction retries. See `RetryPolicy.transaction`.
   *
   * @default none
   */
  readonly retry?: Schedule.Schedule<unknown, DatabaseError> | undefined
  /**
   * "marker" writes a row to `plinth.commit_marker` with COMMIT, by which a COMMIT whose answer was lost can be resolved
   * after a crash of the server and after a failover too, within 30 seconds. Without it the server's own record of the
   * transaction is asked for, which only counts while one of the pool's sessions has survived. The table is made at first
   * use; rows go after a day.
   *
   * @default none
   */
  readonly confirm?: "marker" | undefined
  /**
   * A transaction that is open for longer is logged once as a warning, with its label, its statements and the spans of
   * its fiber. Looked at every second.
   *
   * @default "5 seconds"
   */
  readonly warnAfter?: Duration.DurationInput | undefined
  /** Names the transaction in logs, spans and leak reports. */
  readonly label?: string | undefined
  /** `SET LOCAL role`, in the same network write as BEGIN. */
  readonly role?: string | undefined
  /** Settings for this transaction only, such as `app.user_id` for row-level security; sent with BEGIN. */
  readonly settings?: { readonly [name: string]: string } | undefined
  /**
   * Inside another transaction of the same client: "nested" makes a savepoint, "required" joins it, "requiresNew" takes
   * a second connection, "mandatory" fails when there is none, "never" fails when there is one.
   *
   * @default "nested"
   */
  readonly propagation?: "nested" | "required" | "requiresNew" | "mandatory" | "never" | undefined
}

/**
 * What a batch can have of a transaction's options. Inside a transaction only its `timeout` counts: what else is asked for
 * is refused when that one does not have it, and only the outermost retries.
 *
 * @since 0.1.0
 * @category options
 */
export type BatchOptions = Pick<
  TransactionOptions,
  "access" | "deferrable" | "isolation" | "lockTimeout" | "retry" | "role" | "settings" | "timeout"
>

/**
 * The transaction that the current fiber is in.
 *
 * @since 0.1.0
 * @category models
 */
export interface TransactionInfo {
  readonly id: number
  readonly label: string | undefined
  readonly isolation: TransactionOptions["isolation"]
  readonly access: "read only" | "read write"
  /** 0 for the outermost level. */
  readonly depth: number
  /** 1 for the first run. */
  readonly attempt: number
}

/**
 * Runs effects in transactions of one client.
 *
 * @since 0.1.0
 * @category tags
 */
export class Transaction extends Context.Tag("plinth/Transaction")<
  Transaction,
  {
    /**
     * Runs every statement of the client inside `effect` in one transaction: commits when it succeeds, rolls back when
     * it fails or is interrupted. Fails with the effect's own error, or with a `DatabaseError` of BEGIN, COMMIT or the
     * connection; `TransactionAborted` when an error inside was swallowed and COMMIT became a rollback.
     */
    readonly run: <A, E, R>(
      effect: Effect.Effect<A, E, R>,
      options?: TransactionOptions
    ) => Effect.Effect<A, E | DatabaseError, R>
    /**
     * Runs statements in one network write, as one transaction: all of them or none. Inside a transaction they run in
     * that one. Fails with the first that failed, and `statement` says which that was. A batch whose answer was lost is
     * `CommitInDoubt` if it may have written.
     */
    readonly batch: <const Statements extends ReadonlyArray<Statement<unknown>>>(
      statements: Statements,
      options?: BatchOptions
    ) => Effect.Effect<BatchRows<Statements>, DatabaseError>
    readonly current: Effect.Effect<Option.Option<TransactionInfo>>
    /**
     * Runs once after the outermost commit, when the connection is back in its pool; never when this level or an
     * enclosing one rolled back. Outside of a transaction it runs at once.
     */
    readonly afterCommit: <R>(effect: Effect.Effect<void, never, R>) => Effect.Effect<void, never, R>
    /** Runs once after this level or an enclosing one rolled back and the transaction is over. */
    readonly afterRollback: <R>(effect: Effect.Effect<void, never, R>) => Effect.Effect<void, never, R>
    /** Runs instead of both when nobody can tell whether the transaction was committed. */
    readonly onInDoubt: <R>(effect: Effect.Effect<void, never, R>) => Effect.Effect<void, never, R>
  }
>() {}

/**
 * Runs an effect in a transaction of the client that the `Transaction` service belongs to.
 *
 * @since 0.1.0
 * @category combinators
 */
export const run: {
  (
    options?: TransactionOptions
  ): <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E | DatabaseError, R | Transaction>
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    options?: TransactionOptions
  ): Effect.Effect<A, E | DatabaseError, R | Transaction>
} = dual(
  (args) => Effect.isEffect(args[0]),
  <A, E, R>(
    effect: Effect.Effect<A, E, R>,
    options?: TransactionOptions
  ): Effect.Effect<A, E | DatabaseError, R | Transaction> =>
    Effect.flatMap(Transaction, (transaction) => transaction.run(effect, options))
)

/**
 * Runs statements in one network write, as one transaction: a round trip, where BEGIN, each statement and COMMIT would
 * take one each. The rows of each statement come back in the same order.
 *
 * @example
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import { Transaction } from "effect-plinth"
 * import * as Effect from "effect/Effect"
 *
 * const transfer = Effect.gen(function* () {
 *   const sql = yield* SqlClient.SqlClient
 *   const [[from]] = yield* Transaction.batch([
 *     sql<{ balance: string }>`UPDATE account SET balance = balance - 10 WHERE id = 1 RETURNING balance`,
 *     sql`UPDATE account SET balance = balance + 10 WHERE id = 2`
 *   ])
 *   return from?.balance
 * })
 *
 * @since 0.1.0
 * @category combinators
 */
export const batch = <const Statements extends ReadonlyArray<Statement<unknown>>>(
  statements: Statements,
  options?: BatchOptions
): Effect.Effect<BatchRows<Statements>, DatabaseError, Transaction> =>
  Effect.flatMap(Transaction, (transaction) => transaction.batch(statements, options))

/**
 * The transaction that the current fiber is in, if any.
 *
 * @since 0.1.0
 * @category accessors
 */
export const current: Effect.Effect<Option.Option<TransactionInfo>, never, Transaction> = Effect.flatMap(
  Transaction,
  (transaction) => transaction.current
)

/**
 * Runs an effect once after the outermost commit; at once outside of a transaction.
 *
 * @since 0.1.0
 * @category combinators
 */
export const afterCommit = <R>(effect: Effect.Effect<void, never, R>): Effect.Effect<void, never, R | Transaction> =>
  Effect.flatMap(Transaction, (transaction) => transaction.afterCommit(effect))

/**
 * Runs an effect once after the rollback of the current level or of an enclosing one.
 *
 * @since 0.1.0
 * @category combinators
 */
export const afterRollback = <R>(effect: Effect.Effect<void, never, R>): Effect.Effect<void, never, R | Transaction> =>
  Effect.flatMap(Transaction, (transaction) => transaction.afterRollback(effect))

/**
 * Runs an effect once when the COMMIT of the current transaction is in doubt.
 *
 * @since 0.1.0
 * @category combinators
 */
export const onInDoubt = <R>(effect: Effect.Effect<void, never, R>): Effect.Effect<void, never, R | Transaction> =>
  Effect.flatMap(Transaction, (transaction) => transaction.onInDoubt(effect))

/**
 * A `Transaction` service that opens none: effects simply run, and what waits for a commit runs at once. For tests
 * without a database.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest: Layer.Layer<Transaction> = Layer.succeed(Transaction, {
  run: (effect) => effect,
  batch: <const Statements extends ReadonlyArray<Statement<unknown>>>(statements: Statements) =>
    Effect.mapBoth(
      Effect.forEach(statements, (statement) => statement),
      { onFailure: from, onSuccess: (rows) => batchRows<Statements>(rows) }
    ),
  current: Effect.succeed(Option.none()),
  afterCommit: (effect) => effect,
  afterRollback: () => Effect.void,
  onInDoubt: () => Effect.void
})
