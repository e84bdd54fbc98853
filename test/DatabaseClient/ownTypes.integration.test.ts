/**
 * What Plinth asks for itself, on a client whose application reads values in its own way.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { AdvisoryLock, ConnectionPool, DatabaseClient, DatabaseConfig, Listener, Transaction } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { withinSeconds } from "../support/effects.ts"
import * as FaultProxy from "../support/FaultProxy.ts"

/** bool, int4 and text. */
const types = { parsers: { 16: (text: string) => text, 23: BigInt, 25: (text: string) => ({ text }) } }

const clientAt = (url: Redacted.Redacted, max: number) =>
  Layer.unwrapEffect(
    Effect.map(DatabaseConfig.make({ url, minConnections: max, maxConnections: max }), ({ pool, primary }) =>
      DatabaseClient.layer().pipe(
        Layer.provideMerge(
          Layer.merge(ConnectionPool.layer({ target: primary, settings: pool, types }), Listener.layer(primary))
        )
      )
    )
  )

layer(TestDatabase.layer(), { excludeTestServices: true })("a client with types of its own", (it) => {
  it.effect("takes a lock that is free, and shares connections among short reads", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { stats } = yield* ConnectionPool.ConnectionPool
        yield* AdvisoryLock.withLock(Effect.void, "free", { wait: false })
        const reads = Effect.forever(
          Effect.forEach(Array.from({ length: 50 }), () => sql`SELECT 1 AS n`, { concurrency: 50 })
        )
        const reading = yield* Effect.fork(reads)
        yield* withinSeconds(
          20,
          Effect.map(stats, ({ lanes }) => lanes > 0)
        )
        yield* Fiber.interrupt(reading)
        assert.deepStrictEqual(yield* sql`SELECT 1 AS n, true AS yes`, [{ n: 1n, yes: "t" }])
      }).pipe(Effect.provide(clientAt(url, 4)))
    })
  )

  it.scoped("finds out what became of a COMMIT, with a marker and without", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const { stats } = yield* ConnectionPool.ConnectionPool
        yield* sql`CREATE TABLE kept (id int)`
        for (const confirm of ["marker", undefined] as const) {
          // One for the transaction, and one that is there before it.
          yield* withinSeconds(
            20,
            Effect.map(stats, ({ idle }) => idle === 2)
          )
          yield* Transaction.run(Effect.zipRight(sql`INSERT INTO kept VALUES (1)`, proxy.cutNext("answer")), {
            confirm
          })
        }
        assert.lengthOf(yield* sql`SELECT FROM kept`, 2)
      }).pipe(Effect.provide(clientAt(proxy.url(url), 2)))
    })
  )
})
