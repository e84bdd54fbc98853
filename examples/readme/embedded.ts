import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import { EmbeddedDatabase, EmbeddedPostgres } from "effect-plinth/embedded"

const program = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const { replicas } = yield* EmbeddedPostgres.EmbeddedPostgres
  const [row] = yield* sql<{ n: number }>`SELECT 6 * 7 AS n`
  yield* Console.log(`${row?.n}, from a primary with ${replicas.length} replica`)
})

// Gone at the end; `cluster: { directory: ".plinth" }` keeps it. All other options are those of `Database.layer`.
program.pipe(Effect.provide(EmbeddedDatabase.layer({ cluster: { replicas: 1 } })), NodeRuntime.runMain)
