import { assert, describe, it } from "@effect/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import { ConnectionPool, Database, DatabaseConfig } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { withDatabase } from "../support/migrators.ts"

/** As in the acquisition of a resource, or in a finalizer. */
const ends = <A, E>(effect: Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkDaemon(Effect.uninterruptible(effect))
    return Option.isSome(yield* Effect.timeoutOption(Fiber.join(fiber), "8 seconds"))
  })

describe("what is opened in an uninterruptible region", () => {
  it.live("closes with its scope: a pool", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const { pool: settings, primary: target } = yield* DatabaseConfig.make({ url, maxConnections: 1 })
      const use = Effect.flatMap(ConnectionPool.make({ target, settings }), (pool) =>
        pool.run([{ text: "SELECT 1", params: [] }])
      )
      assert.isTrue(yield* ends(Effect.scoped(use)))
    }).pipe(withDatabase)
  )

  it.live("closes with its scope: the stack of a primary and replicas", () =>
    Effect.gen(function* () {
      const { replicaUrls, url } = yield* TestDatabase.TestDatabase
      const use = Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT 1`)
      assert.isTrue(yield* ends(Effect.provide(use, Database.layer({ url, replicaUrls }))))
    }).pipe(Effect.provide(TestDatabase.layer({ replicas: 1 })))
  )
})
