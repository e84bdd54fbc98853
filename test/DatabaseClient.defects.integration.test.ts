/**
 * The defects of the stock client, each reproduced here. `PLINTH_TEST_CLIENT=stock` shows them.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { SqlError } from "@effect/sql/SqlError"
import { assert, layer } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { DatabaseError } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { clientAt } from "./support/clients.ts"
import { failureOf, withinSeconds } from "./support/effects.ts"
import * as FaultProxy from "./support/FaultProxy.ts"

const withClient = <A, E, R>(max: number, f: (sql: PgClient.PgClient) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(TestDatabase.TestDatabase, ({ url }) =>
    Effect.scoped(
      Effect.flatMap(Layer.build(clientAt(url, max)), (context) => f(Context.get(context, PgClient.PgClient)))
    )
  )

layer(TestDatabase.layer(), { excludeTestServices: true })("the client", (it) => {
  it.effect("keeps the queries of a second client out of the first one's transaction", () =>
    withClient(2, (a) =>
      withClient(2, (b) =>
        Effect.gen(function* () {
          const [outside] = yield* b<{ pid: number }>`SELECT pg_backend_pid() AS pid`
          const [own, other] = yield* a.withTransaction(
            Effect.all([
              a<{ pid: number }>`SELECT pg_backend_pid() AS pid`,
              b<{ pid: number }>`SELECT pg_backend_pid() AS pid`
            ])
          )
          assert.notStrictEqual(own[0]?.pid, other[0]?.pid)
          assert.strictEqual(other[0]?.pid, outside?.pid)
        })
      )
    )
  )

  it.effect("returns a constraint that is violated at COMMIT as a failure", () =>
    withClient(2, (sql) =>
      Effect.gen(function* () {
        yield* sql`CREATE TABLE deferred_unique (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)`
        const error = yield* failureOf(sql.withTransaction(sql`INSERT INTO deferred_unique VALUES (1), (1)`))
        assert.instanceOf(error, SqlError)
        assert.strictEqual(DatabaseError.from(error).reason, "UniqueViolation")
      })
    )
  )

  it.effect("returns the death of a transaction's backend as a failure", () =>
    withClient(2, (sql) =>
      Effect.gen(function* () {
        const error = yield* failureOf(
          sql.withTransaction(
            Effect.gen(function* () {
              const [row] = yield* sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`
              yield* withClient(1, (other) => other`SELECT pg_terminate_backend(${row?.pid}, 2000)`)
              yield* sql`SELECT 1`
            })
          )
        )
        assert.isTrue(DatabaseError.from(error).isConnectionFailure)
        assert.strictEqual((yield* sql<{ one: number }>`SELECT 1 AS one`)[0]?.one, 1)
      })
    )
  )

  it.effect("does not report success when a swallowed error turned COMMIT into a rollback", () =>
    withClient(2, (sql) =>
      Effect.gen(function* () {
        yield* sql`CREATE TABLE swallowed (id int)`
        const error = yield* failureOf(
          sql.withTransaction(Effect.zipRight(sql`INSERT INTO swallowed VALUES (1)`, Effect.ignore(sql`SELECT 1 / 0`)))
        )
        assert.strictEqual(DatabaseError.from(error).reason, "TransactionAborted")
      })
    )
  )

  it.effect("leaks no connection when reserve is interrupted while it waits", () =>
    withClient(1, (sql) =>
      Effect.gen(function* () {
        const held = yield* Deferred.make<void>()
        const release = yield* Deferred.make<void>()
        const holder = yield* Effect.fork(
          Effect.scoped(
            Effect.zipRight(sql.reserve, Effect.zipRight(Deferred.succeed(held, undefined), Deferred.await(release)))
          )
        )
        yield* Deferred.await(held)
        const waiting = yield* Effect.fork(Effect.scoped(Effect.zipRight(sql.reserve, Effect.never)))
        yield* Effect.yieldNow()
        yield* Effect.sleep("20 millis")
        yield* Fiber.interruptFork(waiting)
        yield* Effect.sleep("20 millis")
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(holder)
        const rows = yield* Effect.timeout(sql<{ one: number }>`SELECT 1 AS one`, "2 seconds")
        assert.strictEqual(rows[0]?.one, 1)
      })
    )
  )

  it.effect("leaks no connection when a stream is interrupted while it waits", () =>
    withClient(1, (sql) =>
      Effect.gen(function* () {
        const held = yield* Deferred.make<void>()
        const release = yield* Deferred.make<void>()
        const holder = yield* Effect.fork(
          Effect.scoped(
            Effect.zipRight(sql.reserve, Effect.zipRight(Deferred.succeed(held, undefined), Deferred.await(release)))
          )
        )
        yield* Deferred.await(held)
        const waiting = yield* Effect.fork(Stream.runDrain(sql`SELECT 1`.stream))
        yield* Effect.sleep("20 millis")
        yield* Fiber.interruptFork(waiting)
        yield* Effect.sleep("20 millis")
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(holder)
        const rows = yield* Effect.timeout(sql<{ one: number }>`SELECT 1 AS one`, "2 seconds")
        assert.strictEqual(rows[0]?.one, 1)
      })
    )
  )

  it.effect("stops a query on the server when it is interrupted, on a pool of one", () =>
    withClient(1, (sql) =>
      withClient(1, (observer) =>
        Effect.gen(function* () {
          const [row] = yield* sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`
          const [took] = yield* Effect.timed(Effect.timeoutOption(sql`SELECT pg_sleep(5)`, "300 millis"))
          assert.isBelow(Duration.toMillis(took), 2500)
          const active = observer<{ query: string }>`
            SELECT query FROM pg_stat_activity WHERE pid = ${row?.pid} AND state = 'active'`
          assert.deepStrictEqual(yield* active, [])
        })
      )
    )
  )

  it.effect("lets go of a transaction that waits for its connection", () =>
    withClient(1, (sql) =>
      Effect.gen(function* () {
        const [took] = yield* Effect.timed(
          Effect.scoped(
            Effect.zipRight(sql.reserve, Effect.timeoutOption(sql.withTransaction(sql`SELECT 1`), "100 millis"))
          )
        )
        assert.isBelow(Duration.toMillis(took), 2000)
      }).pipe(Effect.timeout("4 seconds"))
    )
  )

  it.effect("gives up on a server that accepts and never answers", () =>
    Effect.flatMap(TestDatabase.TestDatabase, ({ url }) =>
      Effect.scoped(
        Effect.gen(function* () {
          const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
          yield* proxy.blackhole
          const error = yield* failureOf(Layer.build(clientAt(proxy.url(url)))).pipe(Effect.timeout("8 seconds"))
          assert.include(["ConnectionRefused", "ConnectionLost", "AcquireTimeout"], DatabaseError.from(error).reason)
        })
      )
    )
  )

  it.effect("notifies", () =>
    withClient(2, (sql) =>
      Effect.gen(function* () {
        const received = yield* Effect.fork(Stream.runCollect(Stream.take(sql.listen("defect_notify"), 2)))
        const listening = sql<{ n: string }>`
          SELECT count(*) AS n FROM pg_stat_activity
          WHERE datname = current_database() AND query LIKE 'LISTEN "defect_notify"%'`
        yield* withinSeconds(
          5,
          Effect.map(listening, ([row]) => row?.n === "1")
        )
        yield* sql.notify("defect_notify", "it's")
        yield* sql.notify("defect_notify", "")
        assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Effect.timeout(Fiber.join(received), "3 seconds")), [
          "it's",
          ""
        ])
      })
    )
  )

  it.effect("listens on after its connection was killed", () =>
    withClient(2, (sql) =>
      Effect.gen(function* () {
        const received = yield* Effect.fork(Stream.runHead(sql.listen("defect_killed")))
        const listeners = sql<{ pid: number }>`
          SELECT pid FROM pg_stat_activity
          WHERE datname = current_database() AND query LIKE 'LISTEN "defect_killed"%'`
        yield* withinSeconds(
          5,
          Effect.map(listeners, (rows) => rows.length === 1)
        )
        const [first] = yield* listeners
        yield* sql`SELECT pg_terminate_backend(${first?.pid}, 2000)`
        yield* withinSeconds(
          5,
          Effect.map(listeners, (rows) => rows.length === 1)
        )
        // Straight to the server: `notify` of the stock client cannot be used.
        yield* sql`SELECT pg_notify('defect_killed', 'still here')`
        assert.strictEqual(Option.getOrThrow(yield* Effect.timeout(Fiber.join(received), "3 seconds")), "still here")
      })
    )
  )

  it.effect("keeps one listener of a channel when another one ends", () =>
    withClient(2, (sql) =>
      Effect.gen(function* () {
        const staying = yield* Effect.fork(Stream.runHead(Stream.drop(sql.listen("defect_shared"), 1)))
        const leaving = yield* Effect.fork(Stream.runHead(sql.listen("defect_shared")))
        yield* Effect.sleep("300 millis")
        yield* sql`SELECT pg_notify('defect_shared', 'one')`
        yield* Fiber.join(leaving)
        yield* Effect.sleep("100 millis")
        yield* sql`SELECT pg_notify('defect_shared', 'two')`
        assert.strictEqual(Option.getOrThrow(yield* Effect.timeout(Fiber.join(staying), "3 seconds")), "two")
      })
    )
  )

  it.effect("stores JSON of any shape", () =>
    withClient(1, (sql) =>
      Effect.gen(function* () {
        const values = [[1, { a: [2] }], "text", 3, true, null, { deep: { er: [] } }, []]
        const rows = yield* Effect.forEach(
          values,
          (value) => sql<{ v: unknown }>`SELECT ${sql.json(value)}::jsonb AS v`
        )
        assert.deepStrictEqual(
          rows.map(([row]) => row?.v),
          values
        )
      })
    )
  )

  it.effect("keeps the row of a nested transaction whose concurrent sibling rolled back", () =>
    withClient(2, (sql) =>
      Effect.gen(function* () {
        yield* sql`CREATE TABLE siblings (id int)`
        const slow = sql.withTransaction(
          Effect.zipRight(sql`INSERT INTO siblings VALUES (1)`, Effect.sleep("50 millis"))
        )
        const failing = sql.withTransaction(
          Effect.zipRight(
            sql`INSERT INTO siblings VALUES (2)`,
            Effect.zipRight(Effect.sleep("20 millis"), Effect.fail("no"))
          )
        )
        yield* sql.withTransaction(Effect.all([Effect.ignore(failing), slow], { concurrency: 2, discard: true }))
        assert.deepStrictEqual(yield* sql<{ id: number }>`SELECT id FROM siblings`, [{ id: 1 }])
      })
    )
  )

  it.effect("survives the death of its idle connections", () =>
    withClient(2, (sql) =>
      Effect.gen(function* () {
        const [row] = yield* sql<{ pid: number }>`SELECT pg_backend_pid() AS pid`
        yield* withClient(1, (other) => other`SELECT pg_terminate_backend(${row?.pid}, 2000)`)
        assert.strictEqual((yield* sql<{ one: number }>`SELECT 1 AS one`)[0]?.one, 1)
      })
    )
  )

  it.effect("hands on no connection with an open transaction", () =>
    withClient(1, (sql) =>
      Effect.gen(function* () {
        yield* Effect.scoped(
          Effect.flatMap(sql.reserve, (connection) => connection.executeUnprepared("BEGIN", [], undefined))
        )
        yield* Effect.sleep("50 millis")
        const [first] = yield* sql<{ at: Date }>`SELECT now() AS at`
        yield* Effect.sleep("20 millis")
        const [second] = yield* sql<{ at: Date }>`SELECT now() AS at`
        assert.notDeepEqual(first?.at, second?.at)
      })
    )
  )
})
