/**
 * Servers that say nothing, statements whose callers are gone, and what may and may not run again.
 */
import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { ConnectionPool, DatabaseConfig } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { failureOf, withinSeconds } from "../support/effects.ts"
import * as FaultProxy from "../support/FaultProxy.ts"

const query = (text: string, params: ReadonlyArray<unknown> = []) => ({ text, params })

const open = (url: Redacted.Redacted, options: DatabaseConfig.Options = {}) =>
  Effect.flatMap(DatabaseConfig.make({ minConnections: 1, maxConnections: 1, ...options, url }), ({ pool, primary }) =>
    ConnectionPool.make({ target: primary, settings: pool })
  )

/** A pool behind a proxy, and one past it. */
const behindProxy = (options: DatabaseConfig.Options = {}) =>
  Effect.gen(function* () {
    const { url } = yield* TestDatabase.TestDatabase
    const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
    return { proxy, pool: yield* open(proxy.url(url), options), direct: yield* open(url) }
  })

const rowsOf = (pool: ConnectionPool.ConnectionPool["Type"], table: string) =>
  Effect.map(pool.run([query(`SELECT * FROM ${table}`)]), ([result]) => result?.rows.length)

layer(TestDatabase.layer(), { excludeTestServices: true })("a pool", (it) => {
  it.scoped("gives a statement up on a server that has fallen silent, and its connection too", () =>
    Effect.gen(function* () {
      const { pool, proxy } = yield* behindProxy()
      yield* pool.run([query("SELECT 1")])
      yield* proxy.blackhole
      const [took] = yield* Effect.timed(Effect.timeoutOption(pool.run([query("SELECT 2")]), "100 millis"))
      assert.isBelow(Duration.toMillis(took), 8_000)
      yield* proxy.pass
      const [result] = yield* pool.run([query("SELECT 3 AS n")])
      assert.strictEqual(result?.rows[0]?.n, 3)
    })
  )

  it.scoped("replaces idle connections that have fallen silent", () =>
    Effect.gen(function* () {
      const { pool, proxy } = yield* behindProxy({ validateAfter: 0, validateTimeout: "200 millis" })
      yield* pool.run([query("SELECT 1")])
      yield* Effect.sleep("20 millis")
      yield* proxy.blackhole
      const next = yield* Effect.fork(pool.run([query("SELECT 2 AS n")]))
      yield* withinSeconds(
        10,
        Effect.map(pool.stats, ({ closed }) => closed.invalid === 1)
      )
      yield* proxy.pass
      assert.strictEqual((yield* Fiber.join(next))[0]?.rows[0]?.n, 2)
    })
  )

  it.scoped("checks a connection before each use when told to, and still hands it out", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { validateAfter: 0 })
      for (let i = 0; i < 3; i++) {
        const [result] = yield* pool.run([query("SELECT $1::int AS i", [i])])
        assert.strictEqual(result?.rows[0]?.i, i)
      }
    })
  )

  it.effect("closes within its limit although a statement runs on", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const scope = yield* Scope.make()
      const pool = yield* Scope.extend(open(url, { closeTimeout: "200 millis" }), scope)
      const running = yield* Effect.fork(Effect.exit(pool.run([query("SELECT pg_sleep(20)")])))
      yield* withinSeconds(
        5,
        Effect.map(pool.stats, ({ used }) => used === 1)
      )
      const [took] = yield* Effect.timed(Scope.close(scope, Exit.void))
      assert.isBelow(Duration.toMillis(took), 3_000)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(running)))
    })
  )

  it.scoped("does not run a write whose caller is gone", () =>
    Effect.gen(function* () {
      const { direct, pool, proxy } = yield* behindProxy()
      yield* direct.run([query("CREATE TABLE gone (id int)")])
      const [backend] = yield* pool.run([query("SELECT pg_backend_pid() AS pid")])
      yield* proxy.latency("300 millis")
      yield* direct.run([query("SELECT pg_terminate_backend($1, 2000)", [backend?.rows[0]?.pid])])
      yield* Effect.timeoutOption(pool.run([query("INSERT INTO gone VALUES (1)")]), "20 millis")
      yield* proxy.pass
      // Another statement has to wait for whatever the pool still does.
      yield* pool.run([query("SELECT 1")])
      assert.strictEqual(yield* rowsOf(direct, "gone"), 0)
    })
  )

  it.scoped("runs nothing again behind a pooler, whose session is not the server's", () =>
    Effect.gen(function* () {
      const { direct, pool, proxy } = yield* behindProxy({ pooler: "pgbouncer" })
      const [backend] = yield* pool.run([query("SELECT pg_backend_pid() AS pid")])
      // What the server says of its end arrives when the statement has been sent.
      yield* proxy.blackhole
      yield* direct.run([query("SELECT pg_terminate_backend($1, 2000)", [backend?.rows[0]?.pid])])
      const running = yield* Effect.fork(failureOf(pool.run([query("SELECT 1")])))
      yield* Effect.yieldNow()
      yield* proxy.pass
      const error = yield* running
      assert.strictEqual(error.sqlState, "57P01")
    })
  )

  it.scoped("sends a script once, whatever it fails with", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url)
      yield* pool.run([query("CREATE TABLE once (id int)")])
      const script = "INSERT INTO once VALUES (1); COMMIT; EXECUTE missing"
      const error = yield* failureOf(pool.run([{ text: script, params: [], protocol: "simple" }]))
      assert.strictEqual(error.sqlState, "26000")
      assert.strictEqual(yield* rowsOf(pool, "once"), 1)
    })
  )

  it.scoped("sends nothing of an exchange with a value that cannot be sent", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url)
      yield* pool.run([query("CREATE TABLE half (j text)")])
      const circular: Record<string, unknown> = {}
      circular["self"] = circular
      const insert = (value: unknown) => query("INSERT INTO half VALUES ($1)", [value])
      yield* failureOf(pool.run([insert("kept?"), insert(circular)]))
      assert.strictEqual(yield* rowsOf(pool, "half"), 0)
    })
  )

  it.scoped("reads the rows of FETCH by the cursor that they come from", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url)
      const fetched = (select: string) =>
        pool.use((connection) =>
          Effect.gen(function* () {
            yield* connection.run([query("BEGIN")])
            yield* connection.run([query(`DECLARE c CURSOR FOR ${select}`)])
            const [result] = yield* connection.run([query("FETCH 1 FROM c")])
            yield* connection.run([query("ROLLBACK")])
            return result?.rows[0]
          })
        )
      assert.deepStrictEqual(yield* fetched("SELECT 1 AS a, 2 AS b"), { a: 1, b: 2 })
      assert.deepStrictEqual(yield* fetched("SELECT 'x' AS name"), { name: "x" })
    })
  )

  it.scoped("plans a statement anew after it failed for a column that was widened", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url)
      const insert = (id: string) => pool.run([query("INSERT INTO widened VALUES ($1)", [id])])
      yield* pool.run([query("CREATE TABLE widened (id int)")])
      yield* insert("1")
      yield* pool.run([query("ALTER TABLE widened ALTER COLUMN id TYPE bigint")])
      yield* Effect.exit(insert("3000000000"))
      yield* insert("3000000000")
    })
  )

  it.scoped("forgets its prepared statements with the session's", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url)
      yield* pool.use((connection) =>
        Effect.gen(function* () {
          const select = connection.run([query("SELECT 1 AS n")])
          yield* select
          yield* connection.run([query("DEALLOCATE ALL")])
          assert.strictEqual((yield* select)[0]?.rows[0]?.n, 1)
        })
      )
    })
  )
})
