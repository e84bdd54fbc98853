import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { Database, DatabaseError, Transaction } from "effect-plinth"

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const broken = sql`SELECT * FROM nowhere`

  // By reason: it looks through the SqlError, of a statement or of a transaction, and leaves every other failure alone.
  yield* broken.pipe(DatabaseError.catchReason("UndefinedObject", (error) => Console.log(error.description)))

  // By tag: first make one error type of both.
  yield* Transaction.run(broken).pipe(
    Effect.mapError(DatabaseError.from),
    Effect.catchTag("DatabaseError", ({ isRetryable, reason }) => Console.log(`${reason}, retryable: ${isRetryable}`))
  )
})

program.pipe(Effect.provide(Database.layerConfig()), NodeRuntime.runMain)
