/**
 * What the resolver and model suites of `@effect/sql`'s drivers ask of a client.
 */
import * as Model from "@effect/sql/Model"
import * as SqlClient from "@effect/sql/SqlClient"
import { ResultLengthMismatch } from "@effect/sql/SqlError"
import * as SqlResolver from "@effect/sql/SqlResolver"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Schema from "effect/Schema"
import * as String from "effect/String"
import { contestants } from "./clients.ts"
import type { Client } from "./clients.ts"

const Row = Schema.Struct({ id: Schema.Number, name: Schema.String })

/** A table of a hundred named rows that the next insert continues. */
const seeded = (table: string) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE ${sql(table)} (id serial PRIMARY KEY, name text)`
    yield* sql`INSERT INTO ${sql(table)} (name) SELECT 'name' || n FROM generate_series(1, 100) AS n`
    return { sql, name: sql(table) }
  })

const resolvers = (name: string, client: Client) =>
  layer(client, { excludeTestServices: true })(`${name}, resolvers`, (it) => {
    it.effect("inserts the requests of a batch at once and answers each", () =>
      Effect.gen(function* () {
        const batches: Array<ReadonlyArray<string>> = []
        const { name, sql } = yield* seeded("ordered")
        const Insert = yield* SqlResolver.ordered("Insert", {
          Request: Schema.String,
          Result: Row,
          execute: (names) => {
            batches.push(names)
            return sql`INSERT INTO ${name} ${sql.insert(names.map((name) => ({ name })))} RETURNING *`
          }
        })
        const inserted = Effect.all({ one: Insert.execute("one"), two: Insert.execute("two") }, { batching: true })
        assert.deepStrictEqual(yield* inserted, { one: { id: 101, name: "one" }, two: { id: 102, name: "two" } })
        assert.deepStrictEqual(batches, [["one", "two"]])
      })
    )

    it.effect("fails a batch that has fewer results than requests", () =>
      Effect.gen(function* () {
        const { name, sql } = yield* seeded("mismatched")
        const Select = yield* SqlResolver.ordered("Select", {
          Request: Schema.Number,
          Result: Row,
          execute: (ids) => sql`SELECT * FROM ${name} WHERE id IN ${sql.in(ids)}`
        })
        const error = yield* Effect.flip(
          Effect.forEach([1, 2, 3, 101], (id) => Select.execute(id), { batching: true, concurrency: "unbounded" })
        )
        assert.instanceOf(error, ResultLengthMismatch)
        assert.deepStrictEqual([error.actual, error.expected], [3, 4])
      })
    )

    for (const by of ["results", "raw rows"] as const) {
      it.effect(`groups by the key of ${by}`, () =>
        Effect.gen(function* () {
          const { name, sql } = yield* seeded(`grouped by ${by}`)
          const ByName = yield* SqlResolver.grouped("ByName", {
            Request: Schema.String,
            RequestGroupKey: (name) => name,
            Result: Row,
            ResultGroupKey: (result, row: { readonly name: string }) => (by === "results" ? result : row).name,
            execute: (names) => sql<{ name: string }>`SELECT * FROM ${name} WHERE name IN ${sql.in(names)} ORDER BY id`
          })
          yield* sql`INSERT INTO ${name} ${sql.insert({ name: "name1" })}`
          const found = Effect.all(
            { one: ByName.execute("name1"), two: ByName.execute("name2"), none: ByName.execute("name0") },
            { batching: true }
          )
          assert.deepStrictEqual(yield* found, {
            one: [
              { id: 1, name: "name1" },
              { id: 101, name: "name1" }
            ],
            two: [{ id: 2, name: "name2" }],
            none: []
          })
        })
      )

      it.effect(`finds by the id of ${by}, inside a transaction too`, () =>
        Effect.gen(function* () {
          const { name, sql } = yield* seeded(`found by ${by}`)
          const ById = yield* SqlResolver.findById("ById", {
            Id: Schema.Number,
            Result: Row,
            ResultId: (result, row: { readonly id: number }) => (by === "results" ? result : row).id,
            execute: (ids) => sql<{ id: number }>`SELECT * FROM ${name} WHERE id IN ${sql.in(ids)}`
          })
          const found = () =>
            Effect.map(
              Effect.all({ one: ById.execute(1), two: ById.execute(2), none: ById.execute(101) }, { batching: true }),
              Record.map(Option.getOrNull)
            )
          const expected = { one: { id: 1, name: "name1" }, two: { id: 2, name: "name2" }, none: null }
          assert.deepStrictEqual(yield* found(), expected)
          const renamed = Effect.zipRight(sql`UPDATE ${name} SET name = 'changed' WHERE id = 1`, found())
          assert.deepStrictEqual(yield* sql.withTransaction(renamed), {
            ...expected,
            one: { id: 1, name: "changed" }
          })
        })
      )
    }
  })

class User extends Model.Class<User>("User")({
  id: Model.Generated(Schema.Int),
  firstName: Schema.String,
  age: Schema.Int
}) {}

const models = (name: string, client: Client) =>
  layer(client, { excludeTestServices: true })(`${name}, models with transforms`, (it) => {
    const repository = (tableName: string) =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE ${sql(tableName)} (id serial PRIMARY KEY, first_name text, age int)`
        return yield* Model.makeRepository(User, { tableName, idColumn: "id", spanPrefix: "UserRepository" })
      })
    const alice = { firstName: "Alice", age: 30 }

    it.effect("inserts, finds, updates and deletes a row as the model", () =>
      Effect.gen(function* () {
        const users = yield* repository("users")
        const inserted = yield* users.insert(alice)
        assert.deepStrictEqual(inserted, new User({ id: 1, ...alice }))
        const updated = yield* users.update({ ...inserted, firstName: "Bob" })
        assert.deepStrictEqual(updated, new User({ id: 1, firstName: "Bob", age: 30 }))
        assert.deepStrictEqual(Option.getOrThrow(yield* users.findById(1)), updated)
        yield* users.delete(1)
        assert.isTrue(Option.isNone(yield* users.findById(1)))
      })
    )

    it.effect("inserts without an answer", () =>
      Effect.gen(function* () {
        const users = yield* repository("silent_users")
        assert.isUndefined(yield* users.insertVoid(alice))
        assert.deepStrictEqual(Option.getOrThrow(yield* users.findById(1)), new User({ id: 1, ...alice }))
      })
    )

    it.scoped("inserts and finds through data loaders", () =>
      Effect.gen(function* () {
        yield* repository("loaded_users")
        const users = yield* Model.makeDataLoaders(User, {
          tableName: "loaded_users",
          idColumn: "id",
          spanPrefix: "UserRepository",
          window: 10
        })
        const [first, second] = yield* Effect.all(
          [users.insert(alice), users.insert({ ...alice, firstName: "John" })],
          {
            batching: true,
            concurrency: 2
          }
        )
        assert.deepStrictEqual([first.firstName, second.firstName], ["Alice", "John"])
        const found = yield* Effect.all([users.findById(first.id), users.findById(second.id)], {
          batching: true,
          concurrency: 2
        })
        assert.deepStrictEqual(found.map(Option.getOrThrow), [first, second])
      })
    )
  })

for (const { make, name } of contestants) {
  resolvers(name, make())
  models(name, make({ transformResultNames: String.snakeToCamel, transformQueryNames: String.camelToSnake }))
}
