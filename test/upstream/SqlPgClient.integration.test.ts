/**
 * What the client suite of `@effect/sql-pg` asks of a client, and the ones of its sister packages where they ask more.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import type * as Statement from "@effect/sql/Statement"
import { assert, layer } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import * as String from "effect/String"
import { TestDatabase } from "effect-plinth/testing"
import { withinSeconds } from "../support/effects.ts"
import * as FaultProxy from "../support/FaultProxy.ts"
import { contestants } from "./clients.ts"
import type { Client, Contestant } from "./clients.ts"

const compiles = (statement: Statement.Statement<unknown>, sql: string, params: ReadonlyArray<unknown>) =>
  assert.deepStrictEqual(statement.compile(), [sql, params])

const plain = (name: string, client: Client) =>
  layer(client, { excludeTestServices: true })(name, (it) => {
    it.effect("inserts the columns and values of a record", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        compiles(
          sql`INSERT INTO people ${sql.insert({ name: "Tim", age: 10 })}`,
          `INSERT INTO people ("name","age") VALUES ($1,$2)`,
          ["Tim", 10]
        )
      })
    )

    it.effect("updates from the values of several records", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const values = () => sql.updateValues([{ name: "Tim" }, { name: "John" }], "data")
        const text = `UPDATE people SET name = data.name FROM (values ($1),($2)) AS data("name")`
        compiles(sql`UPDATE people SET name = data.name FROM ${values()}`, text, ["Tim", "John"])
        compiles(sql`UPDATE people SET name = data.name FROM ${values().returning("*")}`, `${text} RETURNING *`, [
          "Tim",
          "John"
        ])
      })
    )

    it.effect("updates the columns of a record but for those left out", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        compiles(sql`UPDATE people SET ${sql.update({ name: "Tim" })}`, `UPDATE people SET "name" = $1`, ["Tim"])
        compiles(
          sql`UPDATE people SET ${sql.update({ name: "Tim", age: 10 }, ["age"])}`,
          `UPDATE people SET "name" = $1`,
          ["Tim"]
        )
        compiles(
          sql`UPDATE people SET ${sql.update({ name: "Tim" }).returning("*")}`,
          `UPDATE people SET "name" = $1 RETURNING *`,
          ["Tim"]
        )
      })
    )

    it.effect("expands a list, and an empty list to what is never true", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const ids = [1, 2, "string"]
        compiles(
          sql`SELECT * FROM ${sql("people")} WHERE id IN ${sql.in(ids)}`,
          `SELECT * FROM "people" WHERE id IN ($1,$2,$3)`,
          ids
        )
        compiles(
          sql`SELECT * FROM ${sql("people")} WHERE ${sql.in("id", ids)}`,
          `SELECT * FROM "people" WHERE "id" IN ($1,$2,$3)`,
          ids
        )
        compiles(sql`SELECT * FROM ${sql("people")} WHERE ${sql.in("id", [])}`, `SELECT * FROM "people" WHERE 1=0`, [])
      })
    )

    it.effect("joins conditions, statements among them", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const at = new Date(0)
        compiles(
          sql`SELECT * FROM ${sql("people")} WHERE ${sql.and([sql.in("name", ["Tim", "John"]), sql`created_at < ${at}`])}`,
          `SELECT * FROM "people" WHERE ("name" IN ($1,$2) AND created_at < $3)`,
          ["Tim", "John", at]
        )
      })
    )

    it.effect("takes a JSON fragment as one parameter of an insert and of an update", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const [insert, inserted] = sql`INSERT INTO people ${sql.insert({
          name: "Tim",
          age: 10,
          json: sql.json({ a: 1 })
        })}`.compile()
        assert.strictEqual(insert, `INSERT INTO people ("name","age","json") VALUES ($1,$2,$3)`)
        assert.lengthOf(inserted, 3)
        const [update, updated] = sql`UPDATE people SET json = data.json FROM ${sql.updateValues(
          [{ json: sql.json({ a: 1 }) }, { json: sql.json({ b: 1 }) }],
          "data"
        )} WHERE created_at > ${new Date(0)}`.compile()
        assert.strictEqual(
          update,
          `UPDATE people SET json = data.json FROM (values ($1),($2)) AS data("json") WHERE created_at > $3`
        )
        assert.lengthOf(updated, 3)
      })
    )

    it.effect("stores what its helpers compile", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        yield* sql`CREATE TABLE people (id serial PRIMARY KEY, name text, age int, json jsonb)`
        const inserted = yield* sql`INSERT INTO people ${sql
          .insert([
            { name: "Tim", age: 10, json: sql.json({ a: [1] }) },
            { name: "John", age: 20, json: sql.json({ a: [2] }) }
          ])
          .returning("*")}`
        assert.deepStrictEqual(inserted, [
          { id: 1, name: "Tim", age: 10, json: { a: [1] } },
          { id: 2, name: "John", age: 20, json: { a: [2] } }
        ])
        yield* sql`UPDATE people SET ${sql.update({ name: "Tom", age: 11 })} WHERE ${sql.in("id", [1])}`
        yield* sql`UPDATE people SET name = data.name FROM ${sql.updateValues([{ name: "Jim", of: "John" }], "data")}
          WHERE people.name = data.of`
        assert.deepStrictEqual(yield* sql`SELECT name, age FROM people ORDER BY id`, [
          { name: "Tom", age: 11 },
          { name: "Jim", age: 20 }
        ])
      })
    )

    it.effect("speaks the dialect of PostgreSQL", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const dialect = sql.onDialect({
          sqlite: () => "sqlite",
          pg: () => "pg",
          mysql: () => "mysql",
          mssql: () => "mssql",
          clickhouse: () => "clickhouse"
        })
        assert.strictEqual(dialect, "pg")
        assert.strictEqual(sql.onDialectOrElse({ orElse: () => "other", pg: () => "pg" }), "pg")
      })
    )

    it.effect("has identifiers that the compiler of another client transforms", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const [text] = PgClient.makeCompiler(String.camelToSnake).compile(
          sql`SELECT * from ${sql("peopleTest")}`,
          false
        )
        assert.strictEqual(text, `SELECT * from "people_test"`)
      })
    )

    it.effect("sends an object as JSON and reads it back", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const rows = yield* sql`SELECT ${{ testValue: 123 }}::jsonb AS json`
        assert.deepStrictEqual(rows, [{ json: { testValue: 123 } }])
      })
    )

    it.effect("answers statements without rows with no rows", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql`CREATE TABLE greetings (id serial PRIMARY KEY, name text)`, [])
        assert.deepStrictEqual(yield* sql`INSERT INTO greetings (name) VALUES ('hello')`, [])
        assert.deepStrictEqual(yield* sql.withTransaction(sql`INSERT INTO greetings (name) VALUES ('world')`), [])
        assert.deepStrictEqual(yield* sql`SELECT * FROM greetings ORDER BY id`, [
          { id: 1, name: "hello" },
          { id: 2, name: "world" }
        ])
      })
    )

    it.effect("gives the driver's command, count, columns and rows as the raw result", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const facts = (result: unknown) =>
          Predicate.hasProperty(result, "rows") &&
          Predicate.hasProperty(result, "command") &&
          Predicate.hasProperty(result, "rowCount") &&
          Predicate.hasProperty(result, "fields") &&
          Array.isArray(result.fields)
            ? {
                command: result.command,
                rowCount: result.rowCount,
                rows: result.rows,
                fields: result.fields.map((field: { readonly name: string }) => field.name)
              }
            : result
        const steps = [sql`CREATE TABLE raw (id serial, name text)`, sql`INSERT INTO raw (name) VALUES (${"hello"})`]
        assert.deepStrictEqual((yield* Effect.forEach(steps, (step) => step.raw)).map(facts), [
          { command: "CREATE", rowCount: null, rows: [], fields: [] },
          { command: "INSERT", rowCount: 1, rows: [], fields: [] }
        ])
        const select = { command: "SELECT", rowCount: 1, rows: [{ id: 1, name: "hello" }], fields: ["id", "name"] }
        assert.deepStrictEqual(facts(yield* sql`SELECT * FROM raw`.raw), select)
        assert.deepStrictEqual(facts(yield* sql.withTransaction(sql`SELECT * FROM raw`.raw)), select)
      })
    )

    it.effect("takes back a transaction that fails", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE taken_back (name text)`
        const failing = Effect.zipRight(sql`INSERT INTO taken_back VALUES ('hello')`, Effect.fail("boom"))
        assert.strictEqual(yield* Effect.flip(sql.withTransaction(failing)), "boom")
        assert.deepStrictEqual(yield* sql`SELECT * FROM taken_back`, [])
      })
    )

    it.effect("reads the same rows as values, unprepared, untransformed and as a stream", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const statement = sql`SELECT n, ${"x"}::text AS x FROM generate_series(1, ${3}::int) AS n`
        const rows = [1, 2, 3].map((n) => ({ n, x: "x" }))
        assert.deepStrictEqual(yield* statement.unprepared, rows)
        assert.deepStrictEqual(yield* statement.withoutTransform, rows)
        assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(statement.stream)), rows)
        assert.deepStrictEqual(
          yield* statement.values,
          rows.map(({ n, x }) => [n, x])
        )
      })
    )
  })

const transforming = (name: string, client: Client) =>
  layer(client, { excludeTestServices: true })(`${name} with transforms`, (it) => {
    it.effect("transforms the names of an insert, and not without transforms", () =>
      Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const bare = sql.withoutTransforms()
        const text = `INSERT INTO people ("first_name","age") VALUES ($1,$2)`
        compiles(sql`INSERT INTO people ${sql.insert({ firstName: "Tim", age: 10 })}`, text, ["Tim", 10])
        compiles(bare`INSERT INTO people ${bare.insert({ first_name: "Tim", age: 10 })}`, text, ["Tim", 10])
        compiles(bare`SELECT ${bare("firstName")}`, `SELECT "firstName"`, [])
      })
    )

    it.effect("answers a text of several statements with the rows of each", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const results = yield* sql`
          CREATE TABLE test_multi (id TEXT PRIMARY KEY, name TEXT);
          INSERT INTO test_multi (id, name) VALUES ('id1', 'test1') RETURNING *;
          INSERT INTO test_multi (id, name) VALUES ('id2', 'test2') RETURNING *;
        `
        assert.deepStrictEqual(
          results.map((result) => JSON.stringify(result)),
          ["[]", `[{"id":"id1","name":"test1"}]`, `[{"id":"id2","name":"test2"}]`]
        )
      })
    )

    it.effect("runs a text of several statements that is asked for values", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE valued (id int); INSERT INTO valued VALUES (1); INSERT INTO valued VALUES (2)`.values
        assert.deepStrictEqual(yield* sql`SELECT id FROM valued ORDER BY id`.values, [[1], [2]])
        assert.deepStrictEqual(yield* sql`SELECT id FROM valued WHERE id = 1;`.values, [[1]])
      })
    )

    it.effect("transforms the names of rows and of the JSON in them, and not without transforms", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const bare = sql.withoutTransforms()
        const row = {
          first_name: "Tim",
          json_field: { test_value: [1, true, null, "text"], test_nested: [{ deep_er: 1 }] }
        }
        const select = (client: SqlClient.SqlClient) =>
          client`SELECT ${"Tim"}::text AS first_name, ${JSON.stringify(row.json_field)}::text::jsonb AS json_field`
        const transformed = [
          { firstName: "Tim", jsonField: { testValue: [1, true, null, "text"], testNested: [{ deepEr: 1 }] } }
        ]
        assert.deepStrictEqual(yield* select(sql), transformed)
        assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(select(sql).stream)), transformed)
        assert.deepStrictEqual(yield* select(sql).withoutTransform, [row])
        assert.deepStrictEqual(yield* select(bare), [row])
        assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(select(bare).stream)), [row])
      })
    )
  })

const abandoned = (name: string, at: Contestant["at"]) =>
  layer(TestDatabase.layer(), { excludeTestServices: true })(`${name}, not built`, (it) => {
    it.scoped("leaves no connection behind when nobody waits for its first answer any more", () =>
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
        for (const _attempt of [1, 2]) {
          yield* proxy.blackhole
          const building = yield* Effect.fork(Effect.scoped(Layer.build(at(proxy.url(url)))))
          yield* withinSeconds(
            2,
            Effect.map(proxy.connections, (open) => open > 0)
          )
          yield* Fiber.interruptFork(building)
          yield* proxy.pass
          yield* withinSeconds(
            2,
            Effect.map(proxy.connections, (open) => open === 0)
          )
        }
      })
    )
  })

for (const { at, make, name } of contestants) {
  abandoned(name, at)
  plain(name, make())
  const names = { transformResultNames: String.snakeToCamel, transformQueryNames: String.camelToSnake }
  transforming(name, make(names))
  layer(make({ ...names, transformJson: false }), { excludeTestServices: true })(
    `${name} with flat transforms`,
    (it) => {
      it.effect("leaves the names inside JSON as they are", () =>
        Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          const json = { test_value: [1, true, null], test_nested: { test_value: "text" } }
          assert.deepStrictEqual(yield* sql`SELECT ${JSON.stringify(json)}::text::jsonb AS json_field`, [
            { jsonField: json }
          ])
        })
      )
    }
  )
}
