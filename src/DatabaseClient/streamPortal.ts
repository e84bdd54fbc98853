/**
 * Rows of a statement as they are asked for: a portal, fetched batch by batch.
 *
 * Each fetch ends with its own Sync, which a portal survives inside a transaction. So other statements of the same
 * transaction can run between two batches, and nothing has to be read to the end before the connection is free.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { DatabaseError } from "../DatabaseError.ts"
import type { Query, RunOptions, Step } from "../internal/pg/Exchange.ts"
import type { Result } from "../internal/pg/Result.ts"
import { commitTimeout, controlTimeout } from "../Transaction/Level.ts"

type Run = (steps: ReadonlyArray<Step>, options?: RunOptions) => Effect.Effect<ReadonlyArray<Result>, DatabaseError>

export interface Portal {
  readonly run: Run
  readonly name: string
  /** Rows per fetch. */
  readonly fetch: number
}

/** The ends of a stream run in finalizers, which nothing can interrupt. */
const closing = { operation: "close", replyWithin: controlTimeout }
const ending = {
  COMMIT: { operation: "commit", replyWithin: commitTimeout },
  ROLLBACK: { operation: "rollback", replyWithin: controlTimeout }
}

/** The results of a statement inside a transaction, one per batch. */
export const streamPortal = (query: Query, { fetch, name, run }: Portal): Stream.Stream<Result, DatabaseError> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      let last: Result | undefined
      // A portal that was read to its end is closed by its own completion.
      yield* Effect.addFinalizer(() =>
        last?.suspended === true
          ? Effect.ignore(run([{ portal: name, fetch: 0, fields: [], rowMode: query.rowMode }], closing))
          : Effect.void
      )
      const next = Effect.suspend(() => {
        if (last !== undefined && !last.suspended) return Effect.fail(Option.none())
        const step: Step =
          last === undefined
            ? { ...query, prepare: false, portal: { name, fetch } }
            : { portal: name, fetch, fields: last.fields, rowMode: query.rowMode }
        return Effect.mapBoth(run([step]), {
          onFailure: Option.some,
          onSuccess: (results) => {
            last = results[0]
            return Chunk.fromIterable(results)
          }
        })
      })
      return Stream.repeatEffectChunkOption(next)
    })
  )

/**
 * The same outside of a transaction: a connection of its own, in a transaction of its own that commits when the stream
 * is done or its consumer has enough, and rolls back when either fails.
 */
export const streamAlone = (
  query: Query,
  lease: Effect.Effect<{ readonly run: Run }, DatabaseError, Scope.Scope>,
  fetch: number
): Stream.Stream<Result, DatabaseError> =>
  Stream.unwrapScoped(
    Effect.gen(function* () {
      const connection = yield* lease
      let open = false
      const finish = (text: "COMMIT" | "ROLLBACK") =>
        Effect.suspend(() => {
          if (!open) return Effect.void
          open = false
          return Effect.asVoid(connection.run([{ text, params: [], prepare: true }], ending[text]))
        })
      yield* Effect.addFinalizer((exit) => Effect.ignoreLogged(finish(Exit.isSuccess(exit) ? "COMMIT" : "ROLLBACK")))
      const run: Run = (steps, options) =>
        Effect.suspend(() => {
          if (open) return connection.run(steps, options)
          open = true
          return Effect.map(connection.run([{ text: "BEGIN", params: [], prepare: true }, ...steps]), (results) =>
            results.slice(1)
          )
        })
      const rows = streamPortal(query, { run, name: "plinth_stream", fetch })
      return Stream.concat(
        rows,
        Stream.fromEffectOption(
          Effect.zipRight(Effect.mapError(finish("COMMIT"), Option.some), Effect.fail(Option.none()))
        )
      )
    })
  )
