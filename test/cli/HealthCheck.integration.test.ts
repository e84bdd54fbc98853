import { assert, describe, it } from "@effect/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestDatabase } from "effect-plinth/testing"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { clientAt } from "../support/clients.ts"
import { withDatabase } from "../support/migrators.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { plinth } from "./support/Plinth.ts"

const Report = Schema.parseJson(
  Schema.Struct({
    schema: Schema.Literal("plinth.health/1"),
    status: Schema.String,
    nodes: Schema.Array(Schema.String)
  })
)

const withoutTable = Effect.flatMap(
  SqlClient.SqlClient,
  (sql) => sql`CREATE TABLE keys (id smallint GENERATED ALWAYS AS IDENTITY (START 32760) PRIMARY KEY)`
)

describe("plinth health-check", () => {
  it.live("is 0 for a healthy database, in text, JSON, Nagios and Prometheus form", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const run = (...args: ReadonlyArray<string>) =>
        plinth(["health-check", "--check", "reachable", "--check", "invalid-index", ...args], {
          env: { DATABASE_URL: Redacted.value(url) }
        })
      assert.deepInclude(yield* run(), { code: 0, stderr: "" })
      const json = yield* Schema.decode(Report)((yield* run("--json")).stdout)
      assert.strictEqual(json.status, "ok")
      assert.match((yield* run("--format", "nagios")).stdout, /^PLINTH OK.*\|.*\n$/)
      assert.match((yield* run("--format", "prometheus")).stdout, /^# HELP /)
    }).pipe(withDatabase)
  )

  it.live("is 2 for an unreachable server, with the reason in words and no stack", () =>
    Effect.gen(function* () {
      const ended = yield* plinth(["health-check", "--url", "postgres://app:sesame@127.0.0.1:1/shop"])
      assert.strictEqual(ended.code, 2)
      assert.include(ended.stdout, "127.0.0.1:1/shop is unreachable")
      assert.notMatch(ended.stdout + ended.stderr, /sesame|\n +at /)
      const nagios = yield* plinth([
        "health-check",
        "--format",
        "nagios",
        "--url",
        "postgres://app:sesame@127.0.0.1:1/shop"
      ])
      assert.strictEqual(nagios.code, 2)
      assert.strictEqual(nagios.stdout.split("is unreachable").length - 1, 1, nagios.stdout)
    })
  )

  it.live("is 2 for a sequence at its end, and 0 once that is mended", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const env = { DATABASE_URL: Redacted.value(url) }
      const run = plinth(["health-check", "--check", "sequence-exhaustion"], { env })
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* withoutTable
        yield* sql`INSERT INTO keys DEFAULT VALUES`
        const found = yield* run
        assert.strictEqual(found.code, 2, found.stdout)
        assert.include(found.stdout, "keys")
        yield* sql`DROP TABLE keys`
      }).pipe(Effect.provide(clientAt(url, 1)))
      assert.strictEqual((yield* run).code, 0)
    }).pipe(withDatabase)
  )

  it.live("knows the migrations of the folder", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const cwd = yield* temporaryDirectory()
      mkdirSync(join(cwd, "migrations"))
      writeFileSync(join(cwd, "migrations/0001_a.sql"), "CREATE TABLE a (id int PRIMARY KEY);\n")
      const given = { cwd, env: { DATABASE_URL: Redacted.value(url) } }
      const behind = yield* plinth(["health-check", "--check", "migrations-behind"], given)
      assert.strictEqual(behind.code, 1, behind.stderr)
      assert.include(behind.stdout, "0001")
      assert.strictEqual(
        (yield* plinth(["health-check", "--check", "migrations-behind", "--fail-on", "critical"], given)).code,
        0
      )
      yield* plinth(["migrate", "up"], given)
      assert.strictEqual((yield* plinth(["health-check", "--check", "migrations-behind"], given)).code, 0)
    }).pipe(withDatabase)
  )

  it.live("tells of the check of migrations, and says which folder it misses where it is asked for without one", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      assert.include((yield* plinth(["health-check", "--list"], { cwd })).stdout, "migrations-behind")
      const asked = ["health-check", "--check", "migrations-behind", "--url", "postgres://app@127.0.0.1:1/shop"]
      const ended = yield* plinth(asked, { cwd })
      assert.strictEqual(ended.code, 3)
      assert.match(ended.stderr, /There is no folder \S+\/migrations\. .*--dir/)
    }).pipe(Effect.scoped)
  )

  it.live("says in one sentence which migration file it could not read", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const cwd = yield* temporaryDirectory()
      mkdirSync(join(cwd, "migrations"))
      writeFileSync(join(cwd, "migrations/3.sql"), "SELECT 1;\n")
      const env = { DATABASE_URL: Redacted.value(url) }
      const ended = yield* plinth(["health-check", "--check", "migrations-behind"], { cwd, env })
      assert.strictEqual(ended.code, 3)
      assert.match(ended.stdout, /^unknown {3}migrations-behind: migration status failed: migrations\/3\.sql .*\n\n/)
    }).pipe(withDatabase)
  )

  it.live("is 3 for wrong usage and for a check that does not exist", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* plinth(["health-check", "--bogus"])).code, 3)
      const url = "postgres://app@127.0.0.1:1/shop"
      const unknown = yield* plinth(["health-check", "--check", "invalid-indx", "--url", url])
      assert.strictEqual(unknown.code, 3)
      assert.include(unknown.stderr, "did you mean invalid-index")
    })
  )

  it.live("lists and explains the checks without a database", () =>
    Effect.gen(function* () {
      const listed = yield* plinth(["health-check", "--list"])
      assert.strictEqual(listed.code, 0)
      assert.include(listed.stdout, "xid-age")
      const explained = yield* plinth(["health-check", "--explain", "xid-age"])
      assert.strictEqual(explained.code, 0)
      assert.include(explained.stdout, "Wraparound")
    })
  )
})
