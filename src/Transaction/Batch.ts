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
import { isStalePlan } from "../internal/pg/StatementCache.ts"
import type { SqlBackend } from "../internal/SqlBackend.ts"
import type { BatchOptions } from "../Transaction.ts"
import { beginSteps, commitStep, isPlainBegin } from "./begin.ts"
import { inDoubtIf } from "./inDoubt.ts"
import type { Level } from "./Level.ts"

/** Runs queries as one transaction, or inside the one that the fiber is in. */
export type Batch = (
  queries: ReadonlyArray<Query>,
  options: BatchOptions
) => Effect.Effect<ReadonlyArray<Result>, DatabaseError>

export interface Dependencies {
  readonly backend: SqlBackend
  /** The level that a fiber with this context is in; fails on options that it cannot give. */
  readonly levelOf: (
    context: Context.Context<never>,
    options: BatchOptions
  ) => Effect.Effect<Level | undefined, DatabaseError>
  readonly rollback: (connection: PooledConnection) => Effect.Effect<void>
  readonly inTime: <A>(
    effect: Effect.Effect<A, DatabaseError>,
    options: BatchOptions
  ) => Effect.Effect<A, DatabaseError>
  readonly retrying: <A>(
    effect: Effect.Effect<A, DatabaseError>,
    schedule: NonNullable<BatchOptions["retry"]>
  ) => Effect.Effect<A, DatabaseError>
}

export const make = ({ backend, inTime, levelOf, retrying, rollback }: Dependencies): Batch => {
  // BEGIN and COMMIT are sent along, since the options need a transaction block.
  const explicit: Batch = (queries, options) => {
    const begin = beginSteps(options)
    const batch = { batchFrom: begin.length, batchTo: begin.length + queries.length }
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(backend.lease({ access: options.access ?? "read write" }, restore), ({ connection, release }) => {
        const once = restore(connection.run([...begin, ...queries, commitStep], batch))
        return once.pipe(
          // All of it was undone, and will be planned anew.
          Effect.catchIf(isStalePlan, () => Effect.zipRight(rollback(connection), once)),
          Effect.map((results) => results.slice(begin.length, -1)),
          Effect.onExit((exit) => Effect.zipRight(Exit.isSuccess(exit) ? Effect.void : rollback(connection), release))
        )
      })
    )
  }
  return (queries, options) =>
    queries.length === 0
      ? Effect.succeed([])
      : Effect.contextWithEffect((context: Context.Context<never>) =>
          Effect.flatMap(levelOf(context, options), (level) => {
            if (level !== undefined) return inTime(level.run(queries, "query", 0), options)
            // What shares one Sync is a transaction as it is.
            const attempt = isPlainBegin(options) ? backend.batch(queries) : explicit(queries, options)
            const mayHaveWritten = () =>
              options.access !== "read only" && queries.some(({ text }) => backend.mayWrite(text))
            const timed = inTime(Effect.mapError(attempt, inDoubtIf(mayHaveWritten)), options)
            return options.retry === undefined ? timed : retrying(timed, options.retry)
          })
        )
}
