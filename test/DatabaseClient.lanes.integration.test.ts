/**
 * What the client may send down a lane while transactions hold locks.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { ConnectionPool, Transaction } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "./support/clients.ts"
import { withinSeconds } from "./support/effects.ts"

const database = Layer.unwrapEffect(
  Effect.map(TestDatabase.TestDatabase, ({ url }) => plinthAt(url, { minConnections: 1, maxConnections: 12 }))
).pipe(Layer.provideMerge(TestDatabase.layer()))

/** How many reads at once crowd into lanes. */
const crowd = 64

layer(database, { excludeTestServices: true })("a transaction that holds locks", (it) => {
  it.effect("is not waited for by its owner's reads in a lane, whatever looks like a read waits for it", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const pool = yield* ConnectionPool.ConnectionPool
      yield* sql`CREATE TABLE locked (id int PRIMARY KEY, n int NOT NULL)`
      yield* sql`INSERT INTO locked SELECT id, 0 FROM generate_series(1, 9) AS id`
      yield* sql`
        CREATE FUNCTION bump(which int) RETURNS int LANGUAGE sql AS
        'UPDATE locked SET n = n + 1 WHERE id = which RETURNING n'`
      // The same texts have run often and fast, so they would be let in if that were all.
      const read = sql<{ n: number }>`SELECT n FROM locked WHERE id = ${9}`
      // In a lane it would be the lane's.
      const timeout = sql.literal("current_setting('statement_timeout') AS timeout")
      const waiters = [
        sql`UPDATE locked SET n = n + 1 WHERE id = ${1} RETURNING ${timeout}`,
        sql`WITH moved AS (UPDATE locked SET n = n + 1 WHERE id = ${1} RETURNING n) SELECT n, ${timeout} FROM moved`,
        sql`SELECT n, ${timeout} FROM locked WHERE id = ${1} FOR UPDATE`,
        sql`SELECT bump(${1}), ${timeout}`,
        sql`SELECT pg_advisory_xact_lock(${4711}), ${timeout}`,
        sql`INSERT INTO locked VALUES (${10}, 0) ON CONFLICT (id) DO UPDATE SET n = 0 RETURNING ${timeout}`
      ]
      const crowded = withinSeconds(
        20,
        Effect.gen(function* () {
          yield* Effect.replicateEffect(read, crowd, { concurrency: crowd, discard: true })
          return (yield* pool.stats).lanes > 0
        })
      )
      yield* Effect.forEach([...waiters, ...waiters], (waiter) => waiter, { concurrency: 1, discard: true })
      yield* crowded
      yield* sql`DELETE FROM locked WHERE id = 10`

      const waiting = Effect.map(
        sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
        (rows) => rows.length
      )
      const locked = yield* Deferred.make<void>()
      const over = yield* Deferred.make<void>()
      const owner = yield* Effect.fork(
        Transaction.run(
          Effect.gen(function* () {
            yield* sql`UPDATE locked SET n = 100 WHERE id = 1`
            yield* sql`INSERT INTO locked VALUES (10, 100)`
            yield* sql`SELECT pg_advisory_xact_lock(4711)`
            yield* Deferred.succeed(locked, undefined)
            yield* Deferred.await(over)
          })
        )
      )
      yield* Deferred.await(locked)
      const blocked = yield* Effect.forEach(waiters, (waiter) => Effect.fork(waiter))
      yield* withinSeconds(
        20,
        Effect.map(waiting, (count) => count === waiters.length)
      )
      // What the owner reads before it can go on; PostgreSQL would not see that circle.
      yield* crowded
      assert.strictEqual(yield* waiting, waiters.length)
      yield* Deferred.succeed(over, undefined)
      yield* Fiber.join(owner)
      for (const rows of yield* Effect.forEach(blocked, Fiber.join)) assert.deepInclude(rows[0], { timeout: "0" })
    })
  )
})
