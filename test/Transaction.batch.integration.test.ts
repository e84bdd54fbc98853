/**
 * Batches on a real server.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as String from "effect/String"
import { ConnectionPool, DatabaseError, RetryPolicy, Transaction } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "./support/clients.ts"
import { failureOf } from "./support/effects.ts"
import * as FaultProxy from "./support/FaultProxy.ts"

const client = Layer.unwrapEffect(
  Effect.map(TestDatabase.TestDatabase, ({ url }) => plinthAt(url, { minConnections: 1, maxConnections: 3 }))
)

const leaks = Effect.flatMap(ConnectionPool.ConnectionPool, ({ stats }) => Effect.map(stats, ({ leaks }) => leaks))

layer(TestDatabase.layer(), { excludeTestServices: true })("Transaction.batch", (it) => {
  it.effect("gives the rows of each statement, and keeps all of them", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE account (id int PRIMARY KEY, balance int)`
      const [, inserted, [sum]] = yield* Transaction.batch([
        sql`INSERT INTO account VALUES (${1}, ${10})`,
        sql<{ id: number }>`INSERT INTO account VALUES (2, 20), (3, 30) RETURNING id`,
        sql<{ sum: string }>`SELECT sum(balance) AS sum FROM account`
      ])
      assert.deepStrictEqual(
        inserted.map(({ id }) => id),
        [2, 3]
      )
      assert.strictEqual(sum?.sum, "60")
      assert.deepStrictEqual(yield* sql`SELECT count(*)::int AS n FROM account`, [{ n: 3 }])
      assert.deepStrictEqual(yield* Transaction.batch([]), [])
    }).pipe(Effect.provide(client))
  )

  it.effect("keeps none when one fails, and says which", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE none (id int PRIMARY KEY)`
      const batch = [
        sql`INSERT INTO none VALUES (1)`,
        sql`INSERT INTO none VALUES (1)`,
        sql`INSERT INTO none VALUES (2)`
      ]
      for (const options of [undefined, { isolation: "serializable" }] as const) {
        const error = yield* failureOf(Transaction.batch(batch, options))
        assert.strictEqual(error.reason, "UniqueViolation")
        assert.strictEqual(error.statement, 1)
        assert.include(error.message, "at statement 2 of a batch")
      }
      assert.deepStrictEqual(yield* sql`SELECT * FROM none`, [])
      assert.strictEqual(yield* leaks, 0)
    }).pipe(Effect.provide(client))
  )

  it.effect("fails as a whole where its commit does", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE late (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)`
      const batch = [sql`INSERT INTO late VALUES (1)`, sql`INSERT INTO late VALUES (1)`]
      for (const options of [undefined, { isolation: "serializable" }] as const) {
        const error = yield* failureOf(Transaction.batch(batch, options))
        assert.strictEqual(error.reason, "UniqueViolation")
        assert.isUndefined(error.statement)
      }
      assert.deepStrictEqual(yield* sql`SELECT * FROM late`, [])
    }).pipe(Effect.provide(client))
  )

  it.effect("runs inside the transaction that it is in, and is undone with it", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE inner_batch (id int)`
      const batch = Transaction.batch([sql`INSERT INTO inner_batch VALUES (1)`, sql`SELECT 1`])
      yield* Effect.flip(Transaction.run(Effect.zipRight(batch, Effect.fail("undo"))))
      assert.deepStrictEqual(yield* sql`SELECT * FROM inner_batch`, [])
      yield* Transaction.run(Effect.zipRight(sql`INSERT INTO inner_batch VALUES (0)`, batch))
      assert.deepStrictEqual(yield* sql`SELECT * FROM inner_batch ORDER BY id`, [{ id: 0 }, { id: 1 }])
      const failing = [sql`SELECT 1`, sql`SELECT 1 / 0`]
      assert.strictEqual((yield* failureOf(Transaction.run(Transaction.batch(failing)))).statement, 1)
      const refused = Transaction.run(Transaction.batch([sql`SELECT 1`], { isolation: "serializable" }))
      assert.include((yield* failureOf(refused)).description, "isolation cannot be had inside another transaction")
    }).pipe(Effect.provide(client))
  )

  it.effect("has its deadline inside a transaction too", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const batch = Transaction.batch([sql`SELECT pg_sleep(60)`], { timeout: "50 millis" })
      assert.strictEqual((yield* failureOf(Transaction.run(batch))).reason, "TransactionTimeout")
    }).pipe(Effect.provide(client))
  )

  it.effect("has its options, and runs again after a serialization failure", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE serial (n int)`
      yield* sql`INSERT INTO serial VALUES (0)`
      const options = { isolation: "repeatable read", retry: RetryPolicy.transaction } as const
      const [[shown]] = yield* Transaction.batch(
        [sql<{ isolation: string }>`SELECT current_setting('transaction_isolation') AS isolation`],
        options
      )
      assert.strictEqual(shown?.isolation, "repeatable read")
      const locked = yield* Deferred.make<void>()
      const go = yield* Deferred.make<void>()
      const other = yield* Effect.fork(
        Transaction.run(
          Effect.zipRight(
            sql`UPDATE serial SET n = n + 1`,
            Effect.zipRight(Deferred.succeed(locked, undefined), Deferred.await(go))
          )
        )
      )
      yield* Deferred.await(locked)
      const batch = yield* Effect.fork(
        Transaction.batch([sql`SELECT pg_notify('batch', '')`, sql`UPDATE serial SET n = n + 10`], options)
      )
      yield* Effect.repeat(sql`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'`, {
        until: (rows) => rows.length > 0
      })
      yield* Deferred.succeed(go, undefined)
      yield* Fiber.join(other)
      yield* Fiber.join(batch)
      assert.deepStrictEqual(yield* sql`SELECT n FROM serial`, [{ n: 11 }])
      assert.strictEqual(yield* leaks, 0)
    }).pipe(Effect.provide(client))
  )

  it.scoped("is in doubt when its answer is lost, if it may have written", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE doubtful (id int)`
        yield* proxy.cutNext("answer")
        const options = { retry: RetryPolicy.transaction }
        const lost = yield* failureOf(Transaction.batch([sql`INSERT INTO doubtful VALUES (1)`, sql`SELECT 1`], options))
        assert.strictEqual(lost.reason, "CommitInDoubt")
        assert.isFalse(lost.isRetryable)
        assert.deepStrictEqual(yield* sql`SELECT * FROM doubtful`, [{ id: 1 }])
        yield* proxy.cutNext("answer")
        const read = yield* failureOf(Transaction.batch([sql`SELECT 1`]))
        assert.strictEqual(read.reason, "ConnectionLost")
        // Of a function that nobody knows, the server itself lets nothing be written.
        yield* sql`CREATE FUNCTION unknown_to_all() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 1'`
        yield* proxy.cutNext("answer")
        const readOnly = yield* failureOf(Transaction.batch([sql`SELECT unknown_to_all()`], { access: "read only" }))
        assert.strictEqual(readOnly.reason, "ConnectionLost")
      }).pipe(Effect.provide(plinthAt(proxy.url(url), { minConnections: 1, maxConnections: 1 })))
    })
  )

  it.effect("plans again what was planned for another type, and transforms names like every statement", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      for (const options of [undefined, { isolation: "serializable" }] as const) {
        yield* sql`CREATE TABLE retyped (some_id int)`
        const batch = Transaction.batch([sql<{ someId: unknown }>`SELECT * FROM retyped`, sql`SELECT 1`], options)
        yield* batch
        yield* sql`ALTER TABLE retyped ALTER COLUMN some_id TYPE text`
        yield* sql`INSERT INTO retyped VALUES ('a')`
        assert.deepStrictEqual((yield* batch)[0], [{ someId: "a" }])
        yield* sql`DROP TABLE retyped`
      }
    }).pipe(
      Effect.provide(
        Layer.unwrapEffect(
          Effect.map(TestDatabase.TestDatabase, ({ url }) =>
            plinthAt(url, { minConnections: 1, maxConnections: 1 }, { transformResultNames: String.snakeToCamel })
          )
        )
      )
    )
  )

  it.effect("is found by reason like every failure", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const caught = yield* Transaction.batch([sql`SELECT * FROM nowhere_to_be_found`]).pipe(
        DatabaseError.catchReason("UndefinedObject", ({ statement }) => Effect.succeed(statement))
      )
      assert.strictEqual(caught, 0)
    }).pipe(Effect.provide(client))
  )
})
