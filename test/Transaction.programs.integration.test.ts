/**
 * Random programs of transactions on a real server and on a model in memory: the same rows are left, the same hooks run.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as Layer from "effect/Layer"
import * as Runtime from "effect/Runtime"
import type { Transaction } from "effect-plinth"
import { ConnectionPool } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "./support/clients.ts"
import { predict } from "./support/programs/model.ts"
import { perform } from "./support/programs/perform.ts"
import { program } from "./support/programs/program.ts"

const programs = process.env["PLINTH_TEST_LONG"] === undefined ? 250 : 5_000
const seed = Number(process.env["PLINTH_TEST_SEED"] ?? 20_260_101)

const database = Layer.unwrapEffect(
  Effect.map(TestDatabase.TestDatabase, ({ url }) => plinthAt(url, { minConnections: 1, maxConnections: 6 }))
).pipe(Layer.provideMerge(TestDatabase.layer()))

layer(database, { excludeTestServices: true })("a program of transactions", (it) => {
  it.effect(
    "leaves the rows and runs the hooks that the model foretells",
    () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        yield* sql`CREATE TABLE programs (run int, key int, value int NOT NULL, PRIMARY KEY (run, key))`
        const pool = yield* ConnectionPool.ConnectionPool
        const runtime = yield* Effect.runtime<PgClient.PgClient | Transaction.Transaction>()
        let run = 0
        const agrees = FastCheck.asyncProperty(program, (made) =>
          perform(made, ++run).pipe(
            Effect.timeoutFail({ duration: "30 seconds", onTimeout: () => new Error("it does not end") }),
            Effect.map(({ behaviour, entered }) => assert.deepStrictEqual(behaviour, predict(made, entered))),
            Effect.zipRight(pool.stats),
            Effect.map(({ leaks, used }) => assert.deepStrictEqual({ leaks, used }, { leaks: 0, used: 0 })),
            Runtime.runPromise(runtime)
          )
        )
        yield* Effect.promise(() => FastCheck.assert(agrees, { numRuns: programs, seed }))
      }),
    300_000
  )
})
