/**
 * A session that is ended between a COMMIT and the Sync behind it: the server has committed and has said so.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import { RetryPolicy, Transaction } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "./support/clients.ts"
import * as FaultProxy from "./support/FaultProxy.ts"

/** A Sync has no contents. */
const syncBytes = 5

/** Ends the session that waits for a Sync, once others see what it has committed. */
const endAfter = (id: number) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const end = Effect.suspend(
      () => sql`
        SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE application_name = 'struck' AND EXISTS (SELECT FROM answered WHERE id = ${id})`
    )
    yield* Effect.repeat(end, { until: (rows) => rows.length > 0 })
  })

layer(TestDatabase.layer(), { excludeTestServices: true })("a COMMIT whose session was ended behind it", (it) => {
  it.scoped("is a success, and what it committed does not run again", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
      const ran = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE answered (id int)`
        const options = { isolation: "serializable", retry: RetryPolicy.transaction } as const
        for (const [id, run] of [
          [1, Transaction.batch([sql`INSERT INTO answered VALUES (1)`], options)],
          [2, Transaction.run(sql`INSERT INTO answered VALUES (2)`, options)]
        ] as const) {
          yield* proxy.withhold("COMMIT", syncBytes)
          const ending = yield* Effect.fork(Effect.provide(endAfter(id), plinthAt(url, { maxConnections: 1 })))
          yield* run
          yield* Fiber.join(ending)
        }
        return yield* sql`SELECT id FROM answered ORDER BY id`
      })
      const struck = plinthAt(proxy.url(url), { maxConnections: 1, prepare: false, applicationName: "struck" })
      assert.deepStrictEqual(yield* Effect.provide(ran, struck), [{ id: 1 }, { id: 2 }])
    })
  )
})
