import { assert, describe, layer } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import { TestDatabase } from "effect-plinth/testing"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

describe("TestDatabase", () => {
  layer(TestDatabase.layer({ replicas: 2 }), { excludeTestServices: true })((it) => {
    it.effect("gives a database of its own that the replicas have too", () =>
      Effect.gen(function* () {
        const database = yield* TestDatabase.TestDatabase
        const names = yield* Effect.forEach([database.url, ...database.replicaUrls], (url) =>
          Effect.gen(function* () {
            const sql = yield* PgClient.PgClient
            return yield* sql<{ name: string; standby: boolean }>`
              select current_database() as name, pg_is_in_recovery() as standby`
          }).pipe(Effect.provide(PgClient.layer({ url })))
        )
        assert.deepStrictEqual(names.flat(), [
          { name: database.name, standby: false },
          { name: database.name, standby: true },
          { name: database.name, standby: true }
        ])
      })
    )

    it.effect("dies at its end when a connection is left open, and drops the database all the same", () =>
      Effect.gen(function* () {
        const outer = yield* TestDatabase.TestDatabase
        const inner = yield* Scope.make()
        const leaky = yield* Scope.make()
        const database = yield* Scope.extend(TestDatabase.make(), inner)
        const sql = yield* PgClient.PgClient.pipe(
          Effect.provide(yield* Scope.extend(Layer.build(PgClient.layer({ url: database.url })), leaky))
        )
        yield* sql`select 1`
        const exit = yield* Effect.exit(Scope.close(inner, Exit.void))
        yield* Scope.close(leaky, Exit.void)
        assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "success", "1 connection(s) to test_")
        const left = yield* Effect.gen(function* () {
          const admin = yield* PgClient.PgClient
          return yield* admin`select from pg_database where datname = ${database.name}`
        }).pipe(Effect.provide(PgClient.layer({ url: outer.url })))
        assert.strictEqual(left.length, 0)
      })
    )
  })
})
