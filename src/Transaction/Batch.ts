/**
 * Statements that are all known beforehand, in one network write.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type { PooledConnection } from "../ConnectionPool.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import type { Query } from "../internal/pg/Exchange.ts"
import type { Result } from "../internal/pg/Result.ts"
import type { SqlBackend } from "../internal/SqlBackend.ts"
import type { TransactionOptions } from "../Transaction.ts"
import { beginSteps, commitStep, isPlainBegin } from "./begin.ts"
import { inDoubtIf } from "./inDoubt.ts"
import type { Level } from "./Level.ts"

/** Runs queries as one transaction, or inside the one that the fiber is in. */
export type Batch = (
  queries: ReadonlyArray<Query>,
  options: TransactionOptions
) => Effect.Effect<ReadonlyArray<Result>, DatabaseError>

export interface BatchOptions {
  readonly backend: SqlBackend
  /** The level that a fiber with this context is in; fails on options that it cannot give. */
  readonly levelOf: (
    context: Context.Context<never>,
    options: TransactionOptions
  ) => Effect.Effect<Level | undefined, DatabaseError>
  readonly rollback: (connection: PooledConnection) => Effect.Effect<void>
  /** Runs an attempt in time, and again as the options say. */
  readonly repeatedly: <A>(
    attempt: Effect.Effect<A, DatabaseError>,
    options: TransactionOptions
  ) => Effect.Effect<A, DatabaseError>
}

export const make = ({ backend, levelOf, repeatedly, rollback }: BatchOptions): Batch => {
  // BEGIN and COMMIT are sent along, since the options need a transaction block.
  const explicit: Batch = (queries, options) => {
    const begin = beginSteps(options)
    const batch = { batchFrom: begin.length, batchTo: begin.length + queries.length }
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(backend.lease({ access: options.access ?? "read write" }, restore), ({ connection, release }) =>
        restore(connection.run([...begin, ...queries, commitStep], batch)).pipe(
          Effect.map((results) => results.slice(begin.length, -1)),
          Effect.onExit((exit) => Effect.zipRight(Exit.isSuccess(exit) ? Effect.void : rollback(connection), release))
        )
      )
    )
  }
  return (queries, options) =>
    queries.length === 0
      ? Effect.succeed([])
      : Effect.contextWithEffect((context: Context.Context<never>) =>
          Effect.flatMap(levelOf(context, options), (level) => {
            if (level !== undefined) return level.run(queries, "query", 0)
            // What shares one Sync is a transaction as it is.
            const attempt = isPlainBegin(options) ? backend.batch(queries) : explicit(queries, options)
            const mayHaveWritten = () => queries.some(({ text }) => backend.mayWrite(text))
            return repeatedly(Effect.mapError(attempt, inDoubtIf(mayHaveWritten)), options)
          })
        )
}
