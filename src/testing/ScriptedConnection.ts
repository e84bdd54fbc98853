/**
 * A connection as far as transactions go, with the answers of a script: a failure inside a transaction fails everything
 * up to its rollback.
 */
import * as Effect from "effect/Effect"
import type { PooledConnection, Query, Result, Step } from "../ConnectionPool.ts"
import { DatabaseError } from "../DatabaseError.ts"

export class ScriptedConnection implements PooledConnection {
  readonly processId = 0
  readonly openedAt = 0
  readonly lost = Effect.never
  status: "I" | "T" | "E" = "I"
  private readonly answer: (query: Query) => Effect.Effect<ReadonlyArray<object>, DatabaseError>

  constructor(answer: (query: Query) => Effect.Effect<ReadonlyArray<object>, DatabaseError>) {
    this.answer = answer
  }

  run(steps: ReadonlyArray<Step>): Effect.Effect<ReadonlyArray<Result>, DatabaseError> {
    return Effect.forEach(steps, (step) => ("fields" in step ? Effect.succeed(result("FETCH", [])) : this.one(step)))
  }

  private one(query: Query): Effect.Effect<Result, DatabaseError> {
    return Effect.suspend(() => {
      const [command = ""] = query.text.trim().toUpperCase().split(/\s+/)
      const hasFailed = this.status === "E"
      if (hasFailed && command !== "ROLLBACK" && command !== "COMMIT") return Effect.fail(inFailedTransaction)
      return this.answer(query).pipe(
        Effect.tapError(() => Effect.sync(() => (this.status = this.status === "I" ? "I" : "E"))),
        Effect.map((rows) => {
          if (command === "BEGIN" || /^ROLLBACK TO\b/i.test(query.text)) this.status = "T"
          else if (command === "COMMIT" || command === "ROLLBACK") this.status = "I"
          return result(
            command === "COMMIT" && hasFailed ? "ROLLBACK" : command,
            query.rowMode === "array" ? rows.map((row) => Object.values(row)) : rows
          )
        })
      )
    })
  }
}

const result = (command: string, rows: ReadonlyArray<object>): Result => ({
  command,
  rowCount: rows.length,
  oid: 0,
  fields: [],
  rows: [...rows],
  suspended: false
})

const inFailedTransaction = new DatabaseError({
  reason: "TransactionAborted",
  operation: "query",
  description: "current transaction is aborted, commands ignored until end of transaction block",
  sqlState: "25P02"
})
