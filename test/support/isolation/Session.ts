/**
 * Transactions that are driven from outside, one statement at a time, so that a test decides how they interleave.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import type { SqlError } from "@effect/sql/SqlError"
import { Transaction } from "effect-plinth"
import { withinSeconds } from "../effects.ts"

/** "none" is no transaction: every statement by itself, which shows that an anomaly would be seen. */
export type Isolation = NonNullable<Transaction.TransactionOptions["isolation"]> | "none"

export interface Row {
  readonly id: number
  readonly value: number
}

type Command = Effect.Effect<void> | "commit" | "abort"

export interface Session {
  /** Starts a statement, and goes on when it has ended or waits for a lock. */
  readonly start: (statement: Effect.Effect<unknown, SqlError>) => Effect.Effect<void, Error>
  /** The rows of a statement; none when the transaction has failed. */
  readonly rows: (statement: Effect.Effect<ReadonlyArray<Row>, SqlError>) => Effect.Effect<ReadonlyArray<Row>>
  /** Whether it could. */
  readonly commit: Effect.Effect<boolean>
  readonly abort: Effect.Effect<void>
}

/** Opens a transaction, which sends nothing before its first statement. */
export const open = (isolation: Isolation) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const commands = yield* Queue.unbounded<Command>()
    const obey: Effect.Effect<void, "abort"> = Effect.flatMap(Queue.take(commands), (command) => {
      if (command === "commit") return Effect.void
      return command === "abort" ? Effect.fail("abort" as const) : Effect.zipRight(command, obey)
    })
    const transaction = yield* Effect.forkScoped(isolation === "none" ? obey : Transaction.run(obey, { isolation }))

    /** What becomes of a statement once its turn has come. */
    const send = <A>(statement: Effect.Effect<A, SqlError>) =>
      Effect.gen(function* () {
        const answer = yield* Deferred.make<Exit.Exit<A, SqlError>>()
        yield* Queue.offer(
          commands,
          Effect.flatMap(Effect.exit(statement), (exit) => Effect.asVoid(Deferred.succeed(answer, exit)))
        )
        return answer
      })
    const somebodyWaits = Effect.map(
      sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      (rows) => rows.length > 0
    )
    const end = (how: "commit" | "abort") => Effect.zipRight(Queue.offer(commands, how), Fiber.await(transaction))

    const session: Session = {
      start: (statement) =>
        Effect.flatMap(send(statement), (answer) =>
          withinSeconds(
            20,
            Effect.flatMap(Deferred.isDone(answer), (done) => (done ? Effect.succeed(true) : somebodyWaits))
          )
        ),
      rows: (statement) =>
        Effect.map(Effect.flatMap(send(statement), Deferred.await), (exit) => (Exit.isSuccess(exit) ? exit.value : [])),
      commit: Effect.map(end("commit"), Exit.isSuccess),
      abort: Effect.asVoid(end("abort"))
    }
    return session
  })
