/**
 * Transactions that are confirmed by a row, and the warning about those that are open for long.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Redacted from "effect/Redacted"
import { DatabaseError, RetryPolicy, Transaction } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "./support/clients.ts"
import { failureOf } from "./support/effects.ts"
import * as FaultProxy from "./support/FaultProxy.ts"

/** Runs on a client of one connection through a proxy, so that nothing else could say what became of a transaction. */
const throughProxy = <A, E>(
  url: Redacted.Redacted,
  f: (proxy: FaultProxy.FaultProxy) => Effect.Effect<A, E, SqlClient.SqlClient | Transaction.Transaction>
) =>
  Effect.gen(function* () {
    const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
    return yield* Effect.provide(f(proxy), plinthAt(proxy.url(url), { minConnections: 1, maxConnections: 1 }))
  })

describe("a transaction with a marker", () => {
  it.scopedLive("is resolved without any session that was there before", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      yield* throughProxy(url, (proxy) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql`CREATE TABLE confirmed (id int)`
          const insert = (id: number, what: "request" | "answer") =>
            Transaction.run(Effect.zipRight(sql`INSERT INTO confirmed VALUES (${id})`, proxy.cutNext(what)), {
              confirm: "marker"
            })
          yield* insert(1, "answer")
          const lost = DatabaseError.from(yield* failureOf(insert(2, "request")))
          assert.strictEqual(lost.reason, "ConnectionLost")
          assert.include(lost.message, "the server did not commit")
          let runs = 0
          yield* Transaction.run(
            Effect.suspend(() =>
              Effect.zipRight(
                sql`INSERT INTO confirmed VALUES (3)`,
                runs++ === 0 ? proxy.cutNext("request") : Effect.void
              )
            ),
            { confirm: "marker", retry: RetryPolicy.transaction }
          )
          assert.deepStrictEqual(yield* sql`SELECT id FROM confirmed ORDER BY id`, [{ id: 1 }, { id: 3 }])
          // The two that were given up keep their keys from ever being committed.
          assert.deepStrictEqual(
            yield* sql`SELECT outcome, count(*)::int AS n FROM plinth.commit_marker GROUP BY outcome ORDER BY outcome`,
            [
              { outcome: "aborted", n: 2 },
              { outcome: "committed", n: 2 }
            ]
          )
        })
      )
    }).pipe(Effect.provide(TestDatabase.layer()))
  )

  it.scopedLive("is resolved after a crash of the server, where one without is in doubt", () =>
    Effect.gen(function* () {
      const { primary, url } = yield* EmbeddedPostgres.EmbeddedPostgres
      yield* throughProxy(url, (proxy) =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql`CREATE TABLE crashed (id int)`
          for (const confirm of ["marker", undefined] as const) {
            // The answer is held back until the server that gave it has crashed.
            const gone = yield* Deferred.make<void>()
            const running = yield* Effect.fork(
              Effect.exit(
                Transaction.run(
                  Effect.gen(function* () {
                    yield* sql`INSERT INTO crashed VALUES (1)`
                    yield* proxy.cutNext("answer")
                    yield* Deferred.succeed(gone, undefined)
                  }),
                  { confirm, ...(confirm === undefined ? {} : { settings: { synchronous_commit: "on" } }) }
                )
              )
            )
            yield* Deferred.await(gone)
            if (confirm === undefined) {
              const exit = yield* Fiber.join(running)
              assert.include(String(exit), "CommitInDoubt")
            } else {
              yield* primary.kill
              yield* primary.start
              const { _tag } = yield* Fiber.join(running)
              // It may have crashed before it was as far as to commit.
              const kept = yield* sql`SELECT FROM crashed`
              assert.strictEqual(_tag, kept.length === 1 ? "Success" : "Failure")
            }
          }
        })
      )
    }).pipe(Effect.provide(EmbeddedPostgres.layer()))
  )

  it.scopedLive("writes nothing for a transaction that wrote nothing, and removes what is a day old", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const read = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* Transaction.run(sql`SELECT 1`, { confirm: "marker" })
        return yield* sql`SELECT FROM plinth.commit_marker`
      })
      const old = Effect.flatMap(
        SqlClient.SqlClient,
        (sql) =>
          sql`INSERT INTO plinth.commit_marker VALUES (gen_random_uuid(), 'committed', now() - interval '25 hours')`
      )
      const once = () => Effect.provide(read, plinthAt(url, { maxConnections: 1 }))
      assert.lengthOf(yield* once(), 0)
      yield* Effect.provide(old, plinthAt(url, { maxConnections: 1 }))
      assert.lengthOf(yield* once(), 0)
    }).pipe(Effect.provide(TestDatabase.layer()))
  )
})

describe("a transaction with a marker and a role", () => {
  it.scopedLive("writes it as who it logged in as, and commits as the role", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      // Every server has it, and it may not write markers.
      const role = "pg_monitor"
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE owned (id int, by text)`
        yield* sql`GRANT INSERT, UPDATE, SELECT ON owned TO ${sql(role)}`
        yield* sql.unsafe(`
          CREATE FUNCTION sign() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN UPDATE owned SET by = current_user WHERE by IS NULL; RETURN NULL; END $$;
          CREATE CONSTRAINT TRIGGER sign AFTER INSERT ON owned DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION sign()`)
        yield* Transaction.run(sql`INSERT INTO owned VALUES (1)`, { confirm: "marker", role })
        assert.deepStrictEqual(yield* sql`SELECT * FROM owned`, [{ id: 1, by: role }])
        assert.lengthOf(yield* sql`SELECT FROM plinth.commit_marker WHERE outcome = 'committed'`, 1)
      }).pipe(Effect.provide(plinthAt(url, { maxConnections: 1 })))
    }).pipe(Effect.provide(TestDatabase.layer()))
  )
})

describe("a transaction with a marker, where others have left many", () => {
  it.scopedLive("does not fail because they cannot be removed in time", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const locked = yield* Deferred.make<void>()
      const one = Transaction.run(
        Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT 1`),
        { confirm: "marker" }
      )
      yield* Effect.provide(one, plinthAt(url, { maxConnections: 1 }))
      const holder = Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`INSERT INTO plinth.commit_marker VALUES (gen_random_uuid(), 'committed', now() - interval '25 hours')`
        const hold = sql`SELECT FROM plinth.commit_marker FOR UPDATE`
        yield* Transaction.run(
          Effect.zipRight(hold, Effect.zipRight(Deferred.succeed(locked, undefined), Effect.never))
        )
      }).pipe(Effect.provide(plinthAt(url, { maxConnections: 1 })))
      const holding = yield* Effect.fork(holder)
      yield* Deferred.await(locked)
      yield* Effect.provide(one, plinthAt(url, { maxConnections: 1, statementTimeout: "200 millis" }))
      yield* Fiber.interrupt(holding)
    }).pipe(Effect.provide(TestDatabase.layer()))
  )
})

describe("a transaction that is open for long", () => {
  it.scopedLive("is logged once, with its label, its statements without their values, and the spans of its fiber", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const messages: Array<string> = []
      const seen = yield* Deferred.make<void>()
      const logger = Logger.make(({ message }) => {
        const text = String(message)
        if (!text.includes("has been open for")) return
        messages.push(text)
        Deferred.unsafeDone(seen, Effect.void)
      })
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE slow (secret text)`
        yield* Transaction.run(Effect.zipRight(sql`INSERT INTO slow VALUES (${"hunter2"})`, Deferred.await(seen)), {
          label: "settle",
          warnAfter: "10 millis"
        }).pipe(Effect.withSpan("checkout"))
        yield* Transaction.run(Effect.sleep("1500 millis"))
      }).pipe(Effect.provide(plinthAt(url, { maxConnections: 1 })), Effect.provide(Logger.add(logger)))
      assert.lengthOf(messages, 1)
      assert.match(
        messages[0] ?? "",
        /^transaction "settle" \(\d+\) has been open for \d\.\d s, attempt 1, by fiber #\d+ in checkout; its last statements: INSERT slow VALUES$/
      )
    }).pipe(Effect.provide(TestDatabase.layer()))
  )
})
