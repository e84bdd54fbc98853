/**
 * Several databases in one program: their tags, their transactions, their types.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Database, QueryRouter, Transaction } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { failureOf } from "./support/effects.ts"

const Analytics = Database.tag("analytics")

/** Two databases, each with a table `notes`, and the default stack on the first. */
const Both = Layer.unwrapScoped(
  Effect.gen(function* () {
    const options = Effect.map(Layer.build(TestDatabase.layer()), (context): Database.Options => ({
      url: Context.get(context, TestDatabase.TestDatabase).url,
      health: { background: false }
    }))
    return Layer.merge(Database.layer(yield* options), Analytics.layer(yield* options))
  })
)

const notes = (sql: SqlClient.SqlClient) =>
  Effect.map(sql<{ text: string }>`SELECT text FROM notes ORDER BY text`, (rows) => rows.map(({ text }) => text))

const note = (sql: SqlClient.SqlClient, text: string) => sql`INSERT INTO notes ${sql.insert({ text })}`

const clients = Effect.gen(function* () {
  const [main, analytics] = [yield* SqlClient.SqlClient, yield* Analytics.SqlClient]
  for (const sql of [main, analytics]) {
    yield* sql`CREATE TABLE IF NOT EXISTS notes (text text NOT NULL)`
    yield* sql`TRUNCATE notes`
  }
  return { main, analytics }
})

layer(Both, { excludeTestServices: true })("two databases", (it) => {
  it.effect("are two databases", () =>
    Effect.gen(function* () {
      const { analytics, main } = yield* clients
      yield* note(main, "here")
      assert.deepStrictEqual(yield* notes(main), ["here"])
      assert.deepStrictEqual(yield* notes(analytics), [])
      assert.strictEqual(yield* Analytics.PgClient, analytics)
      assert.notStrictEqual(yield* PgClient.PgClient, analytics)
    })
  )

  it.effect("each have a transaction of their own: what one rolls back, the other keeps", () =>
    Effect.gen(function* () {
      const { analytics, main } = yield* clients
      const failed = Effect.gen(function* () {
        yield* note(main, "rolled back")
        yield* note(analytics, "kept")
        assert.isTrue(Option.isNone(yield* (yield* Analytics.Transaction).current))
        assert.isTrue(Option.isSome(yield* Transaction.current))
        return yield* Effect.fail("no")
      })
      assert.strictEqual(yield* failureOf(Transaction.run(failed)), "no")
      assert.deepStrictEqual(yield* notes(main), [])
      assert.deepStrictEqual(yield* notes(analytics), ["kept"])
    })
  )

  it.effect("may be nested in one another: a rollback of the inner one leaves the outer one as it was", () =>
    Effect.gen(function* () {
      const { analytics, main } = yield* clients
      const inner = Effect.gen(function* () {
        yield* note(analytics, "rolled back")
        yield* note(main, "inside")
        // Not a savepoint of the analytics: a level below the outer transaction.
        yield* main.withTransaction(note(main, "deeper"))
        return yield* Effect.fail("no")
      })
      yield* main.withTransaction(
        Effect.gen(function* () {
          yield* note(main, "outside")
          assert.strictEqual(yield* failureOf(analytics.withTransaction(inner)), "no")
          // The inner rollback took nothing of what the outer transaction was told inside of it.
          const [row] = yield* main<{ depth: number }>`SELECT count(*)::int AS depth FROM notes`
          assert.strictEqual(row?.depth, 3)
        })
      )
      assert.deepStrictEqual(yield* notes(main), ["deeper", "inside", "outside"])
      assert.deepStrictEqual(yield* notes(analytics), [])
    })
  )

  it.effect("each run their own `afterCommit`", () =>
    Effect.gen(function* () {
      const { analytics, main } = yield* clients
      const transaction = yield* Analytics.Transaction
      yield* failureOf(
        Transaction.run(
          Effect.gen(function* () {
            yield* Transaction.afterCommit(Effect.orDie(Effect.asVoid(note(main, "never"))))
            // There is no transaction of the analytics to wait for.
            yield* transaction.afterCommit(Effect.orDie(Effect.asVoid(note(analytics, "at once"))))
            assert.deepStrictEqual(yield* notes(analytics), ["at once"])
            return yield* Effect.fail("no")
          })
        )
      )
      assert.deepStrictEqual(yield* notes(main), [])
    })
  )

  it.effect("serve what asks for the stock tags, by `services`", () =>
    Effect.gen(function* () {
      const { analytics, main } = yield* clients
      // Knows nothing of several databases.
      const stock: Effect.Effect<void, unknown, SqlClient.SqlClient | Transaction.Transaction> = Transaction.run(
        Effect.flatMap(SqlClient.SqlClient, (sql) => note(sql, "stock"))
      )
      const there: Effect.Effect<void, unknown, Database.ServicesOf<"analytics">> = Effect.provide(
        stock,
        Analytics.services
      )
      yield* there
      assert.deepStrictEqual([yield* notes(main), yield* notes(analytics)], [[], ["stock"]])
      yield* stock
      assert.deepStrictEqual(yield* notes(main), ["stock"])
    })
  )

  it.effect("are told apart by their types", () =>
    Effect.gen(function* () {
      const { analytics } = yield* clients
      const asks = Effect.asVoid(Effect.flatMap(Analytics.SqlClient, (sql) => note(sql, "typed")))
      const right: Effect.Effect<void, unknown, Database.Of<"analytics", SqlClient.SqlClient>> = asks
      // @ts-expect-error another database
      const other: Effect.Effect<void, unknown, Database.Of<"other", SqlClient.SqlClient>> = asks
      // @ts-expect-error the default database
      const main: Effect.Effect<void, unknown, SqlClient.SqlClient> = asks
      // @ts-expect-error another service of the same database, although its value would do
      const postgres: Effect.Effect<void, unknown, Database.Of<"analytics", PgClient.PgClient>> = asks
      assert.strictEqual(new Set<unknown>([right, other, main, postgres]).size, 1)
      // The same name means the same tags, in whatever module.
      yield* Effect.provideService(asks, Database.tag("analytics").SqlClient, analytics)
      assert.deepStrictEqual(yield* notes(analytics), ["typed"])
    })
  )
})

layer(TestDatabase.layer(), { excludeTestServices: true })("Database.make", (it) => {
  it.effect("shows its pools, and lets the optimizer keep them within bounds", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const maxima = (options: Database.Options) =>
        Effect.gen(function* () {
          const pools = yield* Effect.flatten(Effect.map(QueryRouter.QueryRouter, (router) => router.pools))
          return yield* Effect.forEach(pools, ({ stats }) => Effect.map(stats, ({ max }) => max))
        }).pipe(Effect.provide(Database.layer({ url, maxConnections: 8, health: { background: false }, ...options })))
      assert.deepStrictEqual(yield* maxima({}), [8])
      assert.deepStrictEqual(yield* maxima({ poolOptimizer: { max: 4 } }), [4])
    }).pipe(Effect.provide(TestDatabase.layer()))
  )

  it.effect("returns the services as a value, whose connections go with the scope", () =>
    Effect.gen(function* () {
      const { name, sessions, url } = yield* TestDatabase.TestDatabase
      yield* Effect.scoped(
        Effect.gen(function* () {
          const services = yield* Database.make({ url, applicationName: "made", health: { background: false } })
          const sql = Context.get(services, PgClient.PgClient)
          assert.deepStrictEqual(yield* sql`SELECT pg_catalog.current_database() AS name`, [{ name }])
          // The value goes wherever an effect asks for the stock tags.
          yield* Effect.provide(Transaction.run(sql`SELECT 1`), services)
          assert.isTrue((yield* sessions).some(({ applicationName }) => applicationName.startsWith("made")))
        })
      )
      assert.isFalse((yield* sessions).some(({ applicationName }) => applicationName.startsWith("made")))
    })
  )
})
