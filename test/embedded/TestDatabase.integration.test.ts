import { assert, describe, layer } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import { TestDatabase } from "effect-plinth/testing"
import * as Cause from "effect/Cause"
import * as ConfigProvider from "effect/ConfigProvider"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Ref from "effect/Ref"
import * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"

const query = (url: Redacted.Redacted, statement: string) =>
  PgClient.PgClient.pipe(
    Effect.flatMap((sql) => sql.unsafe<Record<string, unknown>>(statement)),
    Effect.provide(PgClient.layer({ url, maxConnections: 1 }))
  )

describe("TestDatabase", () => {
  layer(TestDatabase.layer({ replicas: 2 }), { excludeTestServices: true })((it) => {
    it.effect("gives a database of its own that the replicas have too", () =>
      Effect.gen(function* () {
        const database = yield* TestDatabase.TestDatabase
        const names = yield* Effect.forEach([database.url, ...database.replicaUrls], (url) =>
          Effect.gen(function* () {
            const sql = yield* PgClient.PgClient
            return yield* sql<{ name: string; standby: boolean }>`
              select current_database() as name, pg_is_in_recovery() as standby`
          }).pipe(Effect.provide(PgClient.layer({ url })))
        )
        assert.deepStrictEqual(names.flat(), [
          { name: database.name, standby: false },
          { name: database.name, standby: true },
          { name: database.name, standby: true }
        ])
      })
    )

    it.effect("dies at its end when a connection is left open, and drops the database all the same", () =>
      Effect.gen(function* () {
        const outer = yield* TestDatabase.TestDatabase
        const inner = yield* Scope.make()
        const leaky = yield* Scope.make()
        const database = yield* Scope.extend(TestDatabase.make(), inner)
        const sql = yield* PgClient.PgClient.pipe(
          Effect.provide(yield* Scope.extend(Layer.build(PgClient.layer({ url: database.url })), leaky))
        )
        yield* sql`select 1`
        const exit = yield* Effect.exit(Scope.close(inner, Exit.void))
        yield* Scope.close(leaky, Exit.void)
        assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "success", "1 connection(s) to test_")
        const left = yield* Effect.gen(function* () {
          const admin = yield* PgClient.PgClient
          return yield* admin`select from pg_database where datname = ${database.name}`
        }).pipe(Effect.provide(PgClient.layer({ url: outer.url })))
        assert.strictEqual(left.length, 0)
      })
    )

    it.effect("copies a template that is built once, for as many files as ask at a time", () =>
      Effect.gen(function* () {
        const built = yield* Ref.make(0)
        const template: TestDatabase.Template = {
          name: `numbers_${randomBytes(4).toString("hex")}`,
          build: (url) =>
            Effect.zipRight(
              Ref.update(built, (n) => n + 1),
              query(url, "create table numbers as select generate_series(1, 10) as n")
            )
        }
        const one = TestDatabase.make({ template })
        const databases = yield* Effect.all([one, one, one], { concurrency: 3 })
        yield* query(databases[0].url, "delete from numbers")
        const counts = yield* Effect.forEach(databases, ({ url }) =>
          query(url, "select count(*)::int as n from numbers")
        )
        assert.deepStrictEqual(counts, [[{ n: 0 }], [{ n: 10 }], [{ n: 10 }]])
        assert.strictEqual(yield* Ref.get(built), 1)
      }).pipe(Effect.scoped)
    )

    it.effect("makes the template again when its build failed", () =>
      Effect.gen(function* () {
        const name = `fragile_${randomBytes(4).toString("hex")}`
        const failing = TestDatabase.make({ template: { name, build: () => Effect.fail(new Error("no such file")) } })
        const error = yield* Effect.flip(failing)
        assert.include(error.message, "no such file")
        const build: TestDatabase.Template["build"] = (url) => query(url, "create table repaired ()")
        const database = yield* TestDatabase.make({ template: { name, build } })
        yield* query(database.url, "select from repaired")
      }).pipe(Effect.scoped)
    )

    it.effect("starts a cluster of its own where no run has shared one", () =>
      Effect.gen(function* () {
        const shared = yield* TestDatabase.TestDatabase
        const alone = yield* TestDatabase.make({ replicas: 1 }).pipe(
          Effect.withConfigProvider(ConfigProvider.fromMap(new Map()))
        )
        assert.notStrictEqual(new URL(Redacted.value(alone.url)).port, new URL(Redacted.value(shared.url)).port)
        assert.lengthOf(alone.replicaUrls, 1)
      }).pipe(Effect.scoped)
    )
  })
})
