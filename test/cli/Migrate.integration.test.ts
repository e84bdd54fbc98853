import { assert, describe, it } from "@effect/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestDatabase } from "effect-plinth/testing"
import { mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { clientAt } from "../support/clients.ts"
import * as FaultProxy from "../support/FaultProxy.ts"
import { withinSeconds } from "../support/effects.ts"
import { withDatabase } from "../support/migrators.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import type { Given } from "./support/Plinth.ts"
import { plinth, starting } from "./support/Plinth.ts"

/** A folder with migrations, and the command line of a process that works on the test's database. */
const project = (files: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const { url } = yield* TestDatabase.TestDatabase
    const cwd = yield* temporaryDirectory()
    mkdirSync(join(cwd, "migrations"))
    const write = (name: string, text: string) => writeFileSync(join(cwd, "migrations", name), text)
    for (const [name, text] of Object.entries(files)) write(name, text)
    const given: Given = { cwd, env: { DATABASE_URL: Redacted.value(url) } }
    return {
      cwd,
      write,
      given,
      migrate: (...args: ReadonlyArray<string>) => plinth(["migrate", ...args], given),
      starting: (...args: ReadonlyArray<string>) => starting(["migrate", ...args], given),
      query: <A extends object>(sql: string) =>
        Effect.flatMap(SqlClient.SqlClient, (client) => client.unsafe<A>(sql)).pipe(Effect.provide(clientAt(url, 1)))
    }
  })

const two = {
  "0001_a.sql": "CREATE TABLE a (id int);\n-- plinth:down\nDROP TABLE a;\n",
  "0002_b.sql": "CREATE TABLE b (id int);\n-- plinth:down\nDROP TABLE b;\n"
}

const Ran = Schema.parseJson(
  Schema.Struct({ schema: Schema.String, migrations: Schema.Array(Schema.Struct({ id: Schema.String })) })
)

describe("plinth migrate", () => {
  it.live("plans without changing anything, applies, and then has nothing to do", () =>
    Effect.gen(function* () {
      const { migrate, query } = yield* project(two)
      const plan = yield* migrate("plan")
      assert.deepStrictEqual([plan.code, plan.stderr], [0, ""])
      assert.include(plan.stdout, "Would apply 2 migrations")
      assert.strictEqual((yield* migrate("plan", "--exit-code")).code, 3)
      assert.strictEqual((yield* migrate("up", "--dry-run")).stdout, plan.stdout)
      assert.deepStrictEqual(yield* query("SELECT nspname FROM pg_namespace WHERE nspname = 'plinth'"), [])

      const up = yield* migrate("up")
      assert.strictEqual(up.code, 0)
      assert.match(up.stdout, /^Applied migrations\/0001_a\.sql in .+\nApplied migrations\/0002_b\.sql in .+\n$/)
      assert.include(up.stderr, "Applying migrations/0001_a.sql")
      const again = yield* migrate("up", "--quiet")
      assert.deepStrictEqual([again.code, again.stderr], [0, ""])
      assert.include(again.stdout, "Nothing to apply")
      assert.strictEqual((yield* migrate("status", "--exit-code")).code, 0)
    }).pipe(withDatabase)
  )

  it.live("prints one JSON object for plan, up, status and down", () =>
    Effect.gen(function* () {
      const { migrate } = yield* project(two)
      for (const [args, schema, ids] of [
        [["plan"], "plinth.migrate.plan/1", ["0001", "0002"]],
        [["up", "--to", "0001"], "plinth.migrate.up/1", ["0001"]],
        [["status"], "plinth.migrate.status/1", ["0001", "0002"]],
        [["down", "--yes"], "plinth.migrate.down/1", ["0001"]]
      ] as const) {
        const ended = yield* migrate(...args, "--json")
        assert.strictEqual(ended.code, 0, ended.stderr)
        const printed = yield* Schema.decode(Ran)(ended.stdout)
        assert.strictEqual(printed.schema, schema)
        assert.deepStrictEqual(
          printed.migrations.map(({ id }) => id),
          [...ids]
        )
        for (const line of ended.stderr.split("\n").filter((text) => text !== ""))
          assert.doesNotThrow(() => JSON.parse(line))
      }
    }).pipe(withDatabase)
  )

  it.live("asks before it takes back, and says so where it cannot ask", () =>
    Effect.gen(function* () {
      const { migrate, query } = yield* project({
        "0001_a.sql": "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1), (2), (3);\n-- plinth:down\nDROP TABLE a;\n"
      })
      yield* migrate("up")
      const unasked = yield* migrate("down")
      assert.strictEqual(unasked.code, 2)
      assert.match(unasked.stderr, /\b3 rows\b/)
      assert.include(unasked.stderr, "--yes")
      assert.deepStrictEqual(yield* query("SELECT count(*)::int AS n FROM a"), [{ n: 3 }])
    }).pipe(withDatabase)
  )

  it.live(
    "takes back what holds data only for the name of its database, and after a backup where that is asked for",
    () =>
      Effect.gen(function* () {
        const { cwd, migrate, query } = yield* project({
          "0001_a.sql": "CREATE TABLE a (id int);\nINSERT INTO a VALUES (1);\n-- plinth:down\nDROP TABLE a;\n",
          "0002_b.sql": "CREATE TABLE b (id int);\n-- plinth:down\nDROP TABLE b;\n"
        })
        const { name } = yield* TestDatabase.TestDatabase
        yield* migrate("up")
        const unnamed = yield* migrate("down", "--steps", "2", "--yes")
        assert.strictEqual(unnamed.code, 2)
        assert.include(unnamed.stderr, "loses table a: 1 row\n")
        assert.include(unnamed.stderr, `--yes --database-name ${name}`)
        assert.include(unnamed.stderr, "--backup")
        assert.deepStrictEqual(yield* query("SELECT to_regclass('b')::text AS b"), [{ b: "b" }])
        assert.strictEqual((yield* migrate("down", "--yes")).code, 0)
        const named = yield* migrate("down", "--yes", "--database-name", name, "--backup")
        assert.strictEqual(named.code, 0, named.stderr)
        const [label] = readdirSync(join(cwd, "backups")).filter((entry) => /^\d/.test(entry))
        assert.include(named.stderr, `plinth backup restore ${label} --storage backups --into `)
        assert.deepStrictEqual(yield* query("SELECT to_regclass('a')::text AS a"), [{ a: null }])
      }).pipe(withDatabase)
  )

  it.live("takes nothing back from a database marked as production without its name, whatever else is answered", () =>
    Effect.gen(function* () {
      const { given, migrate, query } = yield* project(two)
      const { name } = yield* TestDatabase.TestDatabase
      yield* migrate("up")
      assert.strictEqual((yield* plinth(["config", "mark", "production"], given)).code, 0)
      const unnamed = yield* migrate("down", "--yes")
      assert.strictEqual(unnamed.code, 2)
      assert.include(unnamed.stderr, `"${name}" is marked as production`)
      assert.include(unnamed.stderr, `--database-name ${name}`)
      assert.strictEqual((yield* migrate("down", "--database-name", name)).code, 2)
      const wrong = yield* migrate("down", "--yes", "--database-name", "another")
      assert.strictEqual(wrong.code, 1)
      assert.include(wrong.stderr, `this is "${name}"`.replace("t", "T"))
      assert.deepStrictEqual(yield* query("SELECT to_regclass('b')::text AS b"), [{ b: "b" }])
      assert.strictEqual((yield* migrate("down", "--dry-run")).code, 0)

      assert.strictEqual((yield* migrate("down", "--yes", "--database-name", name)).code, 0)
      assert.deepStrictEqual(yield* query("SELECT to_regclass('b')::text AS b"), [{ b: null }])
    }).pipe(withDatabase)
  )

  it.live("takes nothing back from another database than the one that is named, marked or not", () =>
    Effect.gen(function* () {
      const { migrate, query } = yield* project(two)
      yield* migrate("up")
      assert.strictEqual((yield* migrate("down", "--yes", "--database-name", "another")).code, 1)
      assert.deepStrictEqual(yield* query("SELECT to_regclass('b')::text AS b"), [{ b: "b" }])
    }).pipe(withDatabase)
  )

  it.live("shows the file, the line and a caret under a statement that fails, and exits 1", () =>
    Effect.gen(function* () {
      const { migrate } = yield* project({ "0001_a.sql": "CREATE TABLE a (id int);\nSELECT nonsense FROM a;\n" })
      const ended = yield* migrate("up")
      assert.strictEqual(ended.code, 1)
      assert.strictEqual(ended.stdout, "")
      assert.include(ended.stderr, "0001_a.sql:2:8")
      assert.match(ended.stderr, /\n +2 \| SELECT nonsense FROM a;\n +\| {8}\^/)
      assert.notInclude(ended.stderr, "    at ")
    }).pipe(withDatabase)
  )

  it.live("says what to do about a full disk, which is not to correct the file", () =>
    Effect.gen(function* () {
      const full = "DO $$ BEGIN RAISE 'could not extend file' USING ERRCODE = 'disk_full'; END $$;\n"
      const { migrate } = yield* project({ "0001_a.sql": full })
      const ended = yield* migrate("up")
      assert.strictEqual(ended.code, 1)
      assert.match(ended.stderr, /0001_a\.sql:1:1: could not extend file \(SQLSTATE 53100\)/)
      assert.match(ended.stderr, /what to do: free space on the server's disk and run again.*\n$/)
      assert.notInclude(ended.stderr, "correct the file")
    }).pipe(withDatabase)
  )

  it.live("says that the connection was lost, at which statement, and how to go on", () =>
    Effect.gen(function* () {
      const { given, migrate } = yield* project({ ...two, "0003_c.sql": "SELECT 1;\nSELECT pg_sleep(60);\n" })
      const { url } = yield* TestDatabase.TestDatabase
      const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
      const env = { DATABASE_URL: Redacted.value(proxy.url(url)) }
      const running = yield* starting(["migrate", "up"], { ...given, env })
      yield* Effect.promise(() => running.printed("Applying migrations/0003_c.sql"))
      yield* proxy.reset
      const ended = yield* Effect.promise(() => running.ended)
      assert.strictEqual(ended.code, 1)
      assert.match(ended.stderr, /Error: .*the connection was lost \(.+\)/)
      assert.match(ended.stderr, /so far: 0001, 0002 are done and stay\n/)
      assert.match(ended.stderr, /what to do: run again as soon as the server answers.*\n$/)
      assert.match((yield* migrate("status")).stdout, /1 pending/)
    }).pipe(withDatabase)
  )

  it.live("takes a long migration for no connection that somebody forgot", () =>
    Effect.gen(function* () {
      const { given } = yield* project({ "0001_a.sql": "SELECT pg_sleep(3);\n" })
      const env = { ...given.env, PLINTH_POOL_LEAK_AFTER: "100 millis" }
      const ended = yield* plinth(["migrate", "up"], { ...given, env })
      assert.strictEqual(ended.code, 0)
      assert.notInclude(ended.stderr, "has been held")
    }).pipe(withDatabase)
  )

  it.live("runs nothing where a file is not UTF-8, and names the file as it is written", () =>
    Effect.gen(function* () {
      const { cwd, migrate, query } = yield* project(two)
      const latin1 = Buffer.from("CREATE TABLE c (\n  name text DEFAULT 'caf\u00e9'\n);\n", "latin1")
      writeFileSync(join(cwd, "migrations/0003_c.sql"), latin1)
      const ended = yield* migrate("up")
      assert.strictEqual(ended.code, 2)
      assert.match(ended.stderr, /^Error: migrations\/0003_c\.sql:2:25: .*UTF-8/)
      assert.deepStrictEqual(yield* query("SELECT to_regclass('a')::text AS a"), [{ a: null }])
    }).pipe(withDatabase)
  )

  it.live("notes a pending migration without a statement, in the plan and when it is applied", () =>
    Effect.gen(function* () {
      const { cwd, given, migrate } = yield* project({})
      yield* plinth(["migrate", "create", "add notes"], { cwd })
      const note = "migrations/0001_add_notes.sql has no statements"
      assert.include((yield* plinth(["migrate", "plan"], given)).stdout, note)
      assert.include((yield* migrate("up")).stderr, note)
      assert.notInclude((yield* migrate("plan")).stdout, note)
    }).pipe(withDatabase)
  )

  it.live("plans no program that this Node cannot import, and says so before a deployment does", () =>
    Effect.gen(function* () {
      const { migrate } = yield* project({ ...two, "0003_code.ts": "export default 1\n" })
      const plan = yield* migrate("plan")
      assert.deepStrictEqual([plan.code, plan.stdout], [1, ""])
      assert.match(plan.stderr, /0003_code\.ts (is TypeScript, which this Node|does not export a migration)/)
    }).pipe(withDatabase)
  )

  it.live("exits 4 for an older pending migration, and 5 for an applied file that was edited", () =>
    Effect.gen(function* () {
      const { migrate, write } = yield* project({ "0002_b.sql": "CREATE TABLE b (id int);\n" })
      yield* migrate("up")
      write("0001_a.sql", "CREATE TABLE a (id int);\n")
      assert.strictEqual((yield* migrate("up")).code, 4)
      assert.strictEqual((yield* migrate("up", "--out-of-order")).code, 0)
      write("0002_b.sql", "CREATE TABLE b (id bigint);\n")
      assert.strictEqual((yield* migrate("up")).code, 5)
      for (const command of ["status", "plan"]) {
        assert.strictEqual((yield* migrate(command)).code, 5, command)
        assert.strictEqual((yield* migrate(command, "--exit-code")).code, 5, command)
      }
    }).pipe(withDatabase)
  )

  it.live("leaves no lock and no session behind Ctrl-C, SIGTERM and kill -9, and goes on in the next run", () =>
    Effect.gen(function* () {
      const { migrate, query, starting, write } = yield* project({
        ...two,
        "0003_slow.sql": "CREATE TABLE c (id int);\nSELECT pg_sleep(60);\n"
      })
      for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const) {
        const running = yield* starting("up")
        yield* Effect.promise(() => running.printed("0003_slow"))
        yield* withinSeconds(
          10,
          Effect.map(
            query(
              "SELECT FROM pg_stat_activity WHERE query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid() AND datname = current_database()"
            ),
            (rows) => rows.length > 0
          )
        )
        const meanwhile = yield* migrate("status")
        assert.match(meanwhile.stdout, /Note: process \d+ on \S+ \(.*\) migrates this database at this moment/)
        running.child.kill(signal)
        const { stderr } = yield* Effect.promise(() => running.ended)
        if (signal !== "SIGKILL") {
          assert.match(stderr, /Interrupted in migrations\/0003_slow\.sql: .* rolled back; .* `plinth migrate status`/)
        }
        yield* withinSeconds(
          5,
          Effect.map(
            query(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
              UNION ALL SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
              WHERE locktype = 'advisory' AND d.datname = current_database()`),
            (rows) => rows.length === 0
          )
        )
        assert.deepStrictEqual(yield* query("SELECT to_regclass('c')::text AS c"), [{ c: null }])
      }
      write("0003_slow.sql", "CREATE TABLE c (id int);\n")
      const next = yield* migrate("up")
      assert.strictEqual(next.code, 0, next.stderr)
      assert.include(next.stdout, "0003_slow.sql")
    }).pipe(withDatabase)
  )

  it.live("writes a new migration in the numbering of the folder, and never over another", () =>
    Effect.gen(function* () {
      const cwd = yield* temporaryDirectory()
      const create = (...args: ReadonlyArray<string>) => plinth(["migrate", "create", ...args], { cwd })
      const first = yield* create("add order notes")
      assert.deepStrictEqual([first.code, first.stdout], [0, "migrations/0001_add_order_notes.sql\n"])
      assert.strictEqual((yield* create("more", "--kind", "ts")).stdout, "migrations/0002_more.ts\n")
      assert.strictEqual((yield* create("totals", "--kind", "repeatable")).stdout, "migrations/R__totals.sql\n")
      assert.strictEqual((yield* create("totals", "--kind", "repeatable")).code, 2)
      assert.strictEqual(readdirSync(join(cwd, "migrations")).length, 3)
    }).pipe(Effect.scoped)
  )
})
