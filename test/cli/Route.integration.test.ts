import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as SqlClient from "@effect/sql/SqlClient"
import { TestDatabase } from "effect-plinth/testing"
import { clientAt } from "../support/clients.ts"
import { withDatabase } from "../support/migrators.ts"
import { plinth, starting } from "./support/Plinth.ts"

const Line = Schema.parseJson(Schema.Struct({ sql: Schema.String, class: Schema.String, reason: Schema.String }))
const lines = (stdout: string) => Schema.decode(Schema.Array(Line))(stdout.trimEnd().split("\n"))
const asInput = (statements: ReadonlyArray<string>) => statements.map((sql) => `${JSON.stringify(sql)}\n`).join("")

describe("plinth route", () => {
  it.live("answers one JSON object per JSON string of stdin, in order, without a server", () =>
    Effect.gen(function* () {
      const statements = [
        "SELECT 1",
        "INSERT INTO t VALUES (1)",
        "SET search_path = x",
        "SELECT mystery(1)",
        "SELECT '\n', \"a\nb\" -- ü",
        "WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x"
      ]
      const ended = yield* plinth(["route", "--json"], { stdin: asInput(statements) })
      assert.deepStrictEqual([ended.code, ended.stderr], [0, ""])
      const answers = yield* lines(ended.stdout)
      assert.deepStrictEqual(
        answers.map(({ sql }) => sql),
        statements
      )
      assert.deepStrictEqual(
        answers.map((answer) => answer.class),
        ["read", "write", "session", "unknown", "read", "write"]
      )
      assert.deepStrictEqual(Object.keys(JSON.parse(ended.stdout.split("\n")[0] ?? "")), ["sql", "class", "reason"])
    })
  )

  it.live("answers each line while stdin is still open", () =>
    Effect.gen(function* () {
      const running = yield* starting(["route", "--json"], { stdin: "open" })
      running.child.stdin?.write('"SELECT 1"\n')
      yield* Effect.promise(() => running.printed('"class":"read"'))
      running.child.stdin?.write('"DROP TABLE t"\n')
      yield* Effect.promise(() => running.printed('"class":"write"'))
      running.child.stdin?.end()
      assert.strictEqual((yield* Effect.promise(() => running.ended)).code, 0)
    }).pipe(Effect.scoped)
  )

  it.live("reads ten thousand statements in one go", () =>
    Effect.gen(function* () {
      const statements = Array.from({ length: 10_000 }, (_, index) => `SELECT ${index} FROM t WHERE id = $1`)
      const answers = yield* Effect.flatMap(plinth(["route", "--json"], { stdin: asInput(statements) }), (ended) =>
        lines(ended.stdout)
      )
      assert.deepStrictEqual(
        answers.map(({ sql }) => sql),
        statements
      )
    })
  )

  it.live("names the line of stdin that is not a JSON string, after answering those before it", () =>
    Effect.gen(function* () {
      const ended = yield* plinth(["route", "--json"], { stdin: '"SELECT 1"\nSELECT 2\n"SELECT 3"\n' })
      assert.strictEqual(ended.code, 2)
      assert.strictEqual((yield* lines(ended.stdout)).length, 1)
      assert.include(ended.stderr, "Line 2")
    })
  )

  it.live("knows the functions of the configured database", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      yield* Effect.flatMap(
        SqlClient.SqlClient,
        (sql) => sql`CREATE FUNCTION harmless(int) RETURNS int LANGUAGE sql IMMUTABLE RETURN $1 + 1`
      ).pipe(Effect.provide(clientAt(url, 1)))
      const statement = ["route", "SELECT harmless(1)"]
      const without = yield* plinth(statement)
      assert.match(without.stdout, /^unknown: /)
      const withCatalogue = yield* plinth(statement, { env: { DATABASE_URL: Redacted.value(url) } })
      assert.match(withCatalogue.stdout, /^read: /)
    }).pipe(withDatabase)
  )
})
