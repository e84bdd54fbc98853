import { assert, describe, it } from "@effect/vitest"
import { ConnectionPool, DatabaseConfig, PoolOptimizer } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { withDatabase } from "./support/migrators.ts"

/** A pool of at most five on the test's database. */
const pool = Layer.unwrapScoped(
  Effect.gen(function* () {
    const { url } = yield* TestDatabase.TestDatabase
    const { pool: settings, primary: target } = yield* DatabaseConfig.make({
      url,
      minConnections: 3,
      maxConnections: 5
    })
    return ConnectionPool.layer({ target, settings })
  })
)

describe("PoolOptimizer on a real pool", () => {
  it.live("measures arrivals, use time and busy connections from the pool's own statistics", () =>
    Effect.gen(function* () {
      const { run, stats } = yield* ConnectionPool.ConnectionPool
      const before = yield* stats
      const [elapsed] = yield* Effect.timed(
        Effect.forEach(Array.from({ length: 40 }), () => run([{ text: "SELECT pg_sleep(0.01)", params: [] }]), {
          concurrency: 2,
          discard: true
        })
      )
      const measured = PoolOptimizer.measure(before, yield* stats, elapsed)
      assert.strictEqual(measured.use.count, 40)
      assert.isAtLeast(measured.use.meanMs, 10)
      assert.isAtMost(measured.busy, 2.1)
      assert.isAbove(measured.busy, 0.5)
      assert.strictEqual(measured.errorShare, 0)
      // Little's law, of figures that were measured apart.
      assert.closeTo((measured.arrivalsPerSecond * measured.use.meanMs) / 1000, measured.busy, 0.01)
    }).pipe(Effect.provide(pool), withDatabase)
  )

  it.live("holds a pool within the bounds that it is given, its minimum too", () =>
    Effect.gen(function* () {
      const { stats } = yield* ConnectionPool.ConnectionPool
      assert.deepInclude(yield* stats, { min: 2, max: 2 })
    }).pipe(Effect.provide(PoolOptimizer.layerAuto({ max: 2 }).pipe(Layer.provideMerge(pool))), withDatabase)
  )
})
