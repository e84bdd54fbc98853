import { assert, describe, it } from "@effect/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { Migrator } from "effect-plinth"
import { harness, ids, states, withDatabase } from "./support/migrators.ts"

const files = {
  "0001_users.sql":
    "CREATE TABLE users (id int, email text, note text);\nINSERT INTO users SELECT i, 'x', NULL FROM generate_series(1, 12345) i;\n-- plinth:down\nDROP TABLE users;",
  "0002_index.sql":
    "CREATE INDEX CONCURRENTLY users_id ON users (id);\n-- plinth:down\nDROP INDEX CONCURRENTLY users_id;",
  "0003_shop.sql":
    'CREATE TABLE "Shop" (id int);\n-- plinth:down\nALTER TABLE users DROP COLUMN email, DROP COLUMN IF EXISTS note CASCADE, DROP CONSTRAINT IF EXISTS c;\nDROP TABLE "Shop", missing_one;',
  "R__v.sql": "CREATE OR REPLACE VIEW v AS SELECT id FROM users;"
}

const reversible = {
  ...files,
  "0003_shop.sql": 'CREATE TABLE "Shop" (id int);\n-- plinth:down\nDROP TABLE "Shop";'
}

describe("Migrator.down", () => {
  it.live("takes the last migration back, then as many as asked, and applies repeatable ones again afterwards", () =>
    Effect.gen(function* () {
      const { migrator } = yield* harness(reversible)
      yield* migrator.up()
      assert.deepStrictEqual(ids(yield* migrator.down()), ["0003"])
      assert.deepStrictEqual(states(yield* migrator.status), {
        "0001": "applied",
        "0002": "applied",
        "0003": "pending",
        R__v: "pending"
      })
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0003", "R__v"])
      assert.deepStrictEqual(ids(yield* migrator.down({ to: "1" })), ["0003", "0002"])
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0002", "0003", "R__v"])
      assert.strictEqual((yield* Effect.flip(migrator.down({ to: "7" }))).reason, "UnknownMigration")
    }).pipe(withDatabase)
  )

  it.live("takes nothing back for an id or a number of steps that is none, such as an empty variable", () =>
    Effect.gen(function* () {
      const { migrator } = yield* harness(reversible)
      yield* migrator.up()
      const before = states(yield* migrator.status)
      for (const which of [{ to: "" }, { to: " " }, { to: "0x0" }, { steps: -1 }, { steps: Number.NaN }]) {
        assert.strictEqual((yield* Effect.flip(migrator.down(which))).reason, "UnknownMigration", JSON.stringify(which))
      }
      assert.deepStrictEqual(states(yield* migrator.status), before)
      const everything = yield* migrator.plan({ direction: "down", to: "0" })
      assert.deepStrictEqual(ids(everything.migrations), ["0003", "0002", "0001"])
    }).pipe(withDatabase)
  )

  it.live("counts one row as one", () =>
    Effect.gen(function* () {
      const { migrator } = yield* harness({
        "0001_a.sql": "CREATE TABLE a AS SELECT 1 AS id;\n-- plinth:down\nDROP TABLE a;"
      })
      yield* migrator.up()
      const plan = yield* migrator.plan({ direction: "down" })
      assert.deepStrictEqual(plan.migrations[0]?.losses, ["table a: 1 row"])
    }).pipe(withDatabase)
  )

  it.live("names what would be lost, with the number of rows and values", () =>
    Effect.gen(function* () {
      const { migrator } = yield* harness(files)
      yield* migrator.up()
      const plan = yield* migrator.plan({ direction: "down", steps: 3 })
      assert.deepStrictEqual(ids(plan.migrations), ["0003", "0002", "0001"])
      assert.deepStrictEqual(plan.migrations[0]?.losses, [
        "column users.email: 12,345 non-null values",
        "column users.note: 0 non-null values",
        'table "Shop": 0 rows'
      ])
      assert.deepStrictEqual(plan.migrations[2]?.losses, ["table users: 12,345 rows"])
      assert.strictEqual((yield* migrator.status).pending, 0)
    }).pipe(withDatabase)
  )

  it.live("keeps everything when the way back fails", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness(files)
      yield* migrator.up()
      const error = yield* Effect.flip(migrator.down())
      assert.strictEqual(error.reason, "StatementFailed")
      assert.deepInclude(error.location, { file: "0003_shop.sql", line: 4 })
      assert.strictEqual(states(yield* migrator.status)["0003"], "applied")
      assert.deepStrictEqual(yield* sql`SELECT count(email)::int AS n FROM users`, [{ n: 12345 }])
    }).pipe(withDatabase)
  )

  it.live("goes on with a way back that stopped between two statements, and up refuses until it is done", () =>
    Effect.gen(function* () {
      const up = "CREATE TABLE t (id int); CREATE INDEX t_id ON t (id);\n-- plinth:down\n"
      const down = (last: string) => ({ "0001_t.sql": `${up}DROP INDEX CONCURRENTLY t_id;\n${last};` })
      const broken = yield* harness(down("DROP TABLE nope"))
      yield* broken.migrator.up()
      const error = yield* Effect.flip(broken.migrator.down())
      assert.include(error.message, "1 of 2 statements are done and stay")
      assert.strictEqual((yield* Effect.flip(broken.migrator.up())).reason, "HalfReverted")
      assert.strictEqual(states(yield* broken.migrator.status)["0001"], "reverting")
      const { migrator } = yield* harness(down("DROP TABLE t"))
      assert.deepStrictEqual(ids(yield* migrator.down()), ["0001"])
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0001"])
    }).pipe(withDatabase)
  )

  it.live("refuses before anything runs when one of the migrations has no way back", () =>
    Effect.gen(function* () {
      const { migrator } = yield* harness({ ...reversible, "0002_index.sql": "SELECT 1" })
      yield* migrator.up()
      const error = yield* Effect.flip(migrator.down({ steps: 3 }))
      assert.strictEqual(error.reason, "Irreversible")
      assert.strictEqual(error.migration, "0002")
      assert.strictEqual(states(yield* migrator.status)["0003"], "applied")
    }).pipe(withDatabase)
  )

  it.live("takes a migration back by its recorded text when its file is gone", () =>
    Effect.gen(function* () {
      yield* (yield* harness(reversible)).migrator.up()
      const { "0003_shop.sql": _, ...without } = reversible
      const { migrator, sql } = yield* harness(without)
      assert.strictEqual((yield* Effect.flip(migrator.up())).reason, "Missing")
      assert.deepStrictEqual(ids(yield* migrator.down()), ["0003"])
      assert.deepStrictEqual(yield* sql`SELECT to_regclass('"Shop"') AS shop`, [{ shop: null }])
      assert.deepStrictEqual(ids(yield* migrator.up()), ["R__v"])
    }).pipe(withDatabase)
  )

  it.live("takes a program back by the script beside it, also where that was written after it was applied", () =>
    Effect.gen(function* () {
      const files = {
        "0001_t.ts": Migrator.Migration.make({
          up: Effect.flatMap(SqlClient.SqlClient, (sql) => sql`CREATE TABLE t ()`)
        })
      }
      const { migrator, sql } = yield* harness(files)
      yield* migrator.up()
      const error = yield* Effect.flip(migrator.down())
      assert.strictEqual(error.reason, "Irreversible")
      assert.include(error.advice, "write 0001_t.down.sql beside it")
      const after = yield* harness({ ...files, "0001_t.down.sql": "DROP TABLE t" })
      assert.deepStrictEqual((yield* after.migrator.status).problems, [])
      assert.deepStrictEqual(ids(yield* after.migrator.down()), ["0001"])
      assert.deepStrictEqual(yield* sql`SELECT to_regclass('t')::text AS t`, [{ t: null }])
    }).pipe(withDatabase)
  )
})
