/**
 * The `SqlClient` that a migration program sees: every statement on the migration's connection, inside its transaction.
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import * as Effect from "effect/Effect"

/** Provides the client; `sql.withTransaction` inside is a savepoint of the transaction that is open already. */
export const provide = <A, E>(
  program: Effect.Effect<A, E, SqlClient.SqlClient>,
  connection: Connection
): Effect.Effect<A, E> =>
  Effect.gen(function* () {
    const client = yield* SqlClient.make({
      acquirer: Effect.succeed(connection),
      compiler: PgClient.makeCompiler(),
      spanAttributes: [["db.system.name", "postgresql"]]
    }).pipe(Effect.provideServiceEffect(Reactivity.Reactivity, Reactivity.make))
    return yield* program.pipe(
      Effect.provideService(SqlClient.SqlClient, client),
      Effect.provideService(SqlClient.TransactionConnection, [connection, 0])
    )
  })
