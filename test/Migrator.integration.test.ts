import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as SqlClient from "@effect/sql/SqlClient"
import { Migrator } from "effect-plinth"
import { harness, ids, states, withDatabase } from "./support/migrators.ts"

const files = {
  "0001_customers.sql":
    "CREATE TABLE customers (id int PRIMARY KEY, name text);\n-- plinth:down\nDROP TABLE customers;\n",
  "0002_rows.sql": "INSERT INTO customers VALUES (1, 'a;b'), (2, $$c;d$$);\nUPDATE customers SET name = upper(name);\n",
  "R__names.sql": "CREATE OR REPLACE VIEW names AS SELECT name FROM customers;\n"
}

describe("Migrator.up", () => {
  it.live("applies versioned migrations in order and repeatable ones after them, once", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness(files)
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0001", "0002", "R__names"])
      assert.deepStrictEqual(yield* sql`SELECT name FROM names ORDER BY 1`, [{ name: "A;B" }, { name: "C;D" }])
      assert.deepStrictEqual(ids(yield* migrator.up()), [])
      const status = yield* migrator.status
      assert.deepStrictEqual(states(status), { "0001": "applied", "0002": "applied", R__names: "applied" })
    }).pipe(withDatabase)
  )

  it.live("applies a repeatable migration again when its content changes, and not for a comment", () =>
    Effect.gen(function* () {
      yield* (yield* harness(files)).migrator.up()
      const commented = { ...files, "R__names.sql": `-- the names\n${files["R__names.sql"]}` }
      assert.deepStrictEqual(ids(yield* (yield* harness(commented)).migrator.up()), [])
      const changed = {
        ...files,
        "R__names.sql": "CREATE OR REPLACE VIEW names AS SELECT name, id FROM customers"
      }
      const { migrator, sql } = yield* harness(changed)
      assert.deepStrictEqual(ids(yield* migrator.up()), ["R__names"])
      assert.deepStrictEqual(yield* sql`SELECT id FROM names ORDER BY 1`, [{ id: 1 }, { id: 2 }])
    }).pipe(withDatabase)
  )

  it.live("keeps nothing of a migration whose third of four statements fails, and says where", () =>
    Effect.gen(function* () {
      const text = [
        "CREATE TABLE a (id int);",
        "CREATE TABLE b (id int);",
        "-- äöü 😀",
        "INSERT INTO a (id, 😀) VALUES (1, 2);",
        "CREATE TABLE c (id int);"
      ].join("\r\n")
      const { migrator, sql } = yield* harness({ "0001_x.sql": text })
      const error = yield* Effect.flip(migrator.up())
      assert.strictEqual(error.reason, "StatementFailed")
      assert.deepStrictEqual(error.location, { file: "0001_x.sql", line: 4, column: 20 })
      assert.include(error.message, `  4 | INSERT INTO a (id, 😀) VALUES (1, 2);\n    |                    ^`)
      assert.strictEqual(error.database?.sqlState, "42703")
      const tables = yield* sql`SELECT relname FROM pg_class WHERE relname IN ('a', 'b', 'c')`
      assert.deepStrictEqual(tables, [])
      assert.deepStrictEqual(states(yield* migrator.status), { "0001": "pending" })
    }).pipe(withDatabase)
  )

  it.live("runs a program inside the migration's transaction", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const program = (broken: boolean) =>
        Migrator.Migration.make({
          up: Effect.gen(function* () {
            const sql = yield* SqlClient.SqlClient
            yield* sql`CREATE TABLE made (id int)`
            yield* sql.withTransaction(sql`INSERT INTO made VALUES (1)`)
            seen.push(...(yield* sql`SELECT id FROM made`))
            if (broken) yield* Effect.fail("on purpose")
          }),
          down: Effect.flatMap(SqlClient.SqlClient, (sql) => sql`DROP TABLE made`)
        })
      const broken = yield* harness({ "0001_code": program(true) })
      const error = yield* Effect.flip(broken.migrator.up())
      assert.strictEqual(error.reason, "CodeFailed")
      assert.include(error.message, "on purpose")
      const { migrator, sql } = yield* harness({ "0001_code": program(false) })
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0001"])
      assert.deepStrictEqual(seen, [{ id: 1 }, { id: 1 }])
      assert.deepStrictEqual(ids(yield* migrator.down()), ["0001"])
      assert.deepStrictEqual(yield* sql`SELECT to_regclass('made') AS made`, [{ made: null }])
    }).pipe(withDatabase)
  )
})
