/**
 * What a client may believe of a COMMIT after its server has crashed.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { ConnectionPool, DatabaseError, RetryPolicy, Transaction } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { plinthAt } from "./support/clients.ts"
import { failureOf, withinSeconds } from "./support/effects.ts"
import * as FaultProxy from "./support/FaultProxy.ts"

const xidOf = (sql: PgClient.PgClient) =>
  Effect.map(sql<{ xid: string }>`SELECT pg_current_xact_id()::text AS xid`, ([row]) => BigInt(row?.xid ?? -1))

/** What is left of a server's crash is up to what it had written down; this tries until the lie was there. */
const reusedXid = Effect.gen(function* () {
  const { primary, url } = yield* EmbeddedPostgres.EmbeddedPostgres
  const direct = Context.get(yield* Layer.build(Layer.fresh(plinthAt(url, { minConnections: 1 }))), PgClient.PgClient)
  const proxy = yield* FaultProxy.make(primary.port)
  const context = yield* Layer.build(
    Layer.fresh(plinthAt(proxy.url(url), { minConnections: 1, maxConnections: 1, acquireTimeout: "60 seconds" }))
  )
  const sql = Context.get(context, PgClient.PgClient)
  const pool = Context.get(context, ConnectionPool.ConnectionPool)
  const transaction = Context.get(context, Transaction.Transaction)
  yield* direct`CREATE TABLE IF NOT EXISTS crashed (what text)`
  yield* direct`DELETE FROM crashed`
  const written = yield* Deferred.make<bigint>()
  const crashed = yield* Deferred.make<void>()
  let attempts = 0
  const body = Effect.gen(function* () {
    attempts++
    yield* sql`INSERT INTO crashed VALUES ('never committed')`
    yield* Deferred.succeed(written, yield* xidOf(sql))
    yield* Deferred.await(crashed)
  })
  const doubtful = yield* Effect.fork(failureOf(transaction.run(body, { retry: RetryPolicy.transaction })))
  const xid = yield* Deferred.await(written)

  // The transaction hears nothing of the crash before its COMMIT is under way; the pool's other connections do.
  yield* proxy.mute
  yield* pool.resize({ min: 3, max: 3 })
  yield* primary.kill
  yield* primary.start
  const others = Effect.tap(direct.withTransaction(xidOf(direct)), () => direct`SELECT 1`)
  const last = yield* Effect.repeat(Effect.retry(others, { times: 10 }), { until: (other) => other >= xid })
  yield* withinSeconds(
    20,
    Effect.map(pool.stats, ({ idle }) => idle === 2)
  )
  yield* Deferred.succeed(crashed, undefined)
  yield* proxy.pass

  const error = DatabaseError.from(yield* Fiber.join(doubtful))
  const [status] = yield* direct<{ status: string }>`SELECT pg_xact_status(${String(xid)}::xid8) AS status`
  const rows = yield* direct`SELECT what FROM crashed`
  return { attempts, error, reused: last === xid && status?.status === "committed", rows }
}).pipe(Effect.scoped)

layer(EmbeddedPostgres.layer({ settings: { wal_writer_delay: "10s", autovacuum: "off" } }), {
  excludeTestServices: true,
  timeout: 60_000
})("a COMMIT that met a crash", (it) => {
  it.effect("is in doubt although its transaction id, given to somebody else, reads as committed", () =>
    Effect.gen(function* () {
      const { attempts, error, reused, rows } = yield* Effect.repeat(reusedXid, {
        until: ({ reused }) => reused,
        times: 5
      })
      assert.isTrue(reused, "the server has given the id to another transaction")
      assert.strictEqual(error.reason, "CommitInDoubt", error.message)
      assert.isFalse(error.isRetryable)
      assert.strictEqual(attempts, 1)
      assert.deepStrictEqual(rows, [])
    })
  )
})
