import { assert, describe, it } from "@effect/vitest"
import { ConnectionPool, DatabaseConfig } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import { withDatabase } from "../support/migrators.ts"

describe("a pool that is opened in an uninterruptible region", () => {
  it.live("closes when its scope does", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const { pool: settings, primary: target } = yield* DatabaseConfig.make({ url, maxConnections: 1 })
      const use = Effect.flatMap(ConnectionPool.make({ target, settings }), (pool) =>
        pool.run([{ text: "SELECT 1", params: [] }])
      )
      // As in the acquisition of a resource, or in a finalizer.
      const fiber = yield* Effect.forkDaemon(Effect.uninterruptible(Effect.scoped(use)))
      const ended = yield* Effect.timeoutOption(Fiber.join(fiber), "20 seconds")
      assert.isTrue(Option.isSome(ended))
    }).pipe(withDatabase)
  )
})
