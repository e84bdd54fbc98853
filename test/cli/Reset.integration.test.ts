import { assert, describe, it } from "@effect/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { TestDatabase } from "effect-plinth/testing"
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { clientAt } from "../support/clients.ts"
import { withDatabase } from "../support/migrators.ts"
import { temporaryDirectory } from "../support/temporaryDirectory.ts"
import { plinth, shell, starting } from "./support/Plinth.ts"

/** A project with a migration and a seed, and its database, filled. */
const project = Effect.gen(function* () {
  const { name, url } = yield* TestDatabase.TestDatabase
  const cwd = yield* temporaryDirectory()
  mkdirSync(join(cwd, "migrations"))
  mkdirSync(join(cwd, "seeds"))
  writeFileSync(join(cwd, "migrations/0001_a.sql"), "CREATE TABLE a (id int PRIMARY KEY);\n")
  writeFileSync(join(cwd, "seeds/0001_a.sql"), "INSERT INTO a VALUES (1), (2) ON CONFLICT DO NOTHING;\n")
  const given = { cwd, env: { DATABASE_URL: Redacted.value(url) } }
  const run = (...args: ReadonlyArray<string>) => plinth(args, given)
  const query = <A extends object>(sql: string) =>
    Effect.flatMap(SqlClient.SqlClient, (client) => client.unsafe<A>(sql)).pipe(Effect.provide(clientAt(url, 1)))
  assert.strictEqual((yield* run("setup", "--seed")).code, 0)
  yield* query("INSERT INTO a VALUES (3)")
  return { cwd, given, name, query, run, url }
})

const rows = "SELECT id FROM a ORDER BY id"
const three = [{ id: 1 }, { id: 2 }, { id: 3 }]

const Result = Schema.parseJson(
  Schema.Struct({
    schema: Schema.Literal("plinth.reset/1"),
    lost: Schema.Struct({ rows: Schema.Number, bytes: Schema.Number }),
    backup: Schema.NullOr(Schema.String)
  })
)

describe("plinth reset", () => {
  it.live("shows what would be lost and changes nothing, under --plan", () =>
    Effect.gen(function* () {
      const { query, run } = yield* project
      const ended = yield* run("reset", "--plan")
      assert.deepStrictEqual([ended.code, ended.stderr], [0, ""])
      assert.match(ended.stdout, /1 table, 3 rows/)
      assert.deepStrictEqual(yield* query(rows), three)
    }).pipe(withDatabase)
  )

  it.live("needs --yes and the name where there is no terminal; --yes or a wrong name alone is not enough", () =>
    Effect.gen(function* () {
      const { name, query, run } = yield* project
      for (const answer of [[], ["--yes"], ["--database-name", name]]) {
        const ended = yield* run("reset", ...answer)
        assert.strictEqual(ended.code, 2, answer.join(" "))
        assert.include(ended.stderr, `--yes --database-name ${name}`)
      }
      const wrong = yield* run("reset", "--yes", "--database-name", "postgres")
      assert.strictEqual(wrong.code, 1)
      assert.include(wrong.stderr, `This is "${name}", and --database-name says "postgres"`)
      assert.deepStrictEqual(yield* query(rows), three)
    }).pipe(withDatabase)
  )

  it.live("takes a backup, makes the database again as it was defined, migrates and seeds", () =>
    Effect.gen(function* () {
      const { cwd, name, query, run } = yield* project
      yield* query(`COMMENT ON DATABASE ${name} IS 'it''s mine'`)
      yield* query(`ALTER DATABASE ${name} SET search_path = "$user", public, "Odd, name"`)
      yield* query(`ALTER DATABASE ${name} SET work_mem = '8MB'`)
      yield* query(`REVOKE TEMPORARY ON DATABASE ${name} FROM PUBLIC`)
      const definition = `SELECT pg_get_userbyid(datdba) AS owner, datcollate, datctype, encoding, ARRAY(SELECT unnest(datacl)::text ORDER BY 1) AS acl,
          shobj_description(d.oid, 'pg_database') AS comment, (SELECT setconfig FROM pg_db_role_setting s WHERE s.setdatabase = d.oid) AS settings
        FROM pg_database d WHERE datname = current_database()`
      const before = yield* query(definition)
      const ended = yield* run("reset", "--yes", "--database-name", name, "--seed", "--json")
      assert.strictEqual(ended.code, 0, ended.stderr)
      const result = yield* Schema.decode(Result)(ended.stdout)
      assert.strictEqual(result.lost.rows, 3)
      assert.isNotNull(result.backup)
      assert.isTrue(
        readdirSync(join(cwd, "backups"), { recursive: true }).some((path) =>
          String(path).includes(result.backup ?? "?")
        )
      )
      assert.deepStrictEqual(yield* query(rows), [{ id: 1 }, { id: 2 }])
      assert.deepStrictEqual(yield* query(definition), before)
    }).pipe(withDatabase)
  )

  it.live("refuses a database marked as production, and takes the mark back only for its name", () =>
    Effect.gen(function* () {
      const { name, query, run } = yield* project
      assert.strictEqual((yield* run("config", "mark", "production")).code, 0)
      const refused = yield* run("reset", "--yes", "--database-name", name, "--force", "--no-backup")
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "marked as production")
      assert.deepStrictEqual(yield* query(rows), three)

      assert.strictEqual((yield* run("config", "mark", "development")).code, 2)
      assert.strictEqual((yield* run("config", "mark", "development", "--database-name", name)).code, 0)
      assert.strictEqual((yield* run("reset", "--yes", "--database-name", name, "--no-backup")).code, 0)
    }).pipe(withDatabase)
  )

  it.live("reads and plans every migration before it drops anything, and then nothing was done", () =>
    Effect.gen(function* () {
      const { cwd, name, query, run } = yield* project
      const answer = ["--yes", "--database-name", name, "--no-backup"]
      const misspelt = yield* run("reset", ...answer, "--dir", "migratons")
      assert.strictEqual(misspelt.code, 2)
      assert.include(misspelt.stderr, "migratons")
      for (const [file, text] of [
        ["0002_b.js", "export default {{{\n"],
        ["0002_b.sql", "CREATE TABLE b (id int);\nBEGIN;\n"],
        ["0002_b.sql", "-- plinth: depends=0009\nCREATE TABLE b (id int);\n"]
      ] as const) {
        const path = join(cwd, "migrations", file)
        writeFileSync(path, text)
        const ended = yield* run("reset", ...answer)
        assert.notStrictEqual(ended.code, 0, text)
        assert.include(ended.stderr, "0002", text)
        assert.notInclude(ended.stderr, "dropped")
        assert.deepStrictEqual(yield* query(rows), three, text)
        rmSync(path)
      }
    }).pipe(withDatabase)
  )

  it.live("says after a failure that the database was dropped, which backup holds it and how to restore that", () =>
    Effect.gen(function* () {
      const { cwd, name, query, run } = yield* project
      writeFileSync(join(cwd, "migrations/0002_b.sql"), "SELECT nonsense;\n")
      const ended = yield* run("reset", "--yes", "--database-name", name)
      assert.strictEqual(ended.code, 1)
      assert.include(ended.stderr, "0002_b.sql:1:8")
      assert.include(ended.stderr, `"${name}" was dropped and made again before this`)
      const [label] = readdirSync(join(cwd, "backups")).filter((entry) => /^\d/.test(entry))
      assert.include(ended.stderr, `plinth backup restore ${label} --storage backups --into `)
      assert.deepStrictEqual(yield* query(rows), [])

      const without = yield* run("reset", "--no-backup", "--yes", "--database-name", name)
      assert.include(without.stderr, `"${name}" was dropped and made again before this`)
      assert.notInclude(without.stderr, "backup restore")
    }).pipe(withDatabase)
  )

  it.live("says after Ctrl-C, too, that the database was dropped", () =>
    Effect.gen(function* () {
      const { cwd, given, name } = yield* project
      writeFileSync(join(cwd, "migrations/0002_slow.sql"), "SELECT pg_sleep(60);\n")
      const running = yield* starting(["reset", "--yes", "--database-name", name, "--no-backup"], given)
      yield* Effect.promise(() => running.printed("Applying migrations/0002_slow.sql"))
      running.child.kill("SIGINT")
      const ended = yield* Effect.promise(() => running.ended)
      assert.strictEqual(ended.code, 130)
      assert.include(ended.stderr, `Interrupted. "${name}" was dropped and made again before this`)
    }).pipe(withDatabase)
  )

  it.live("drops nothing where the role may not create the database that takes its place", () =>
    Effect.gen(function* () {
      const { cwd, name, query, url } = yield* project
      const role = `${name}_owner`
      yield* query(`CREATE ROLE ${role} LOGIN PASSWORD 'sesame'`)
      const [owner] = yield* query<{ readonly owner: string }>("SELECT current_user AS owner")
      yield* query(`ALTER DATABASE ${name} OWNER TO ${role}`)
      yield* query(`ALTER TABLE a OWNER TO ${role}`)
      yield* query(`GRANT USAGE ON SCHEMA plinth TO ${role}`)
      yield* query(`GRANT SELECT ON ALL TABLES IN SCHEMA plinth TO ${role}`)
      const own = new URL(Redacted.value(url))
      own.username = role
      own.password = "sesame"
      const ended = yield* plinth(["reset", "--yes", "--database-name", name, "--no-backup"], {
        cwd,
        env: { DATABASE_URL: own.href }
      })
      assert.strictEqual(ended.code, 1, ended.stderr)
      assert.include(ended.stderr, "permission denied")
      assert.notInclude(ended.stderr, "dropped")
      assert.deepStrictEqual(yield* query(rows), three)
      yield* query(`REASSIGN OWNED BY ${role} TO ${owner?.owner}`)
      yield* query(`ALTER DATABASE ${name} OWNER TO ${owner?.owner}`)
      yield* query(`DROP OWNED BY ${role}`)
      yield* query(`DROP ROLE ${role}`)
    }).pipe(withDatabase)
  )

  it.live("refuses a standby before it asks, takes a backup or ends a connection", () =>
    Effect.gen(function* () {
      const { name, replicaUrls } = yield* TestDatabase.TestDatabase
      const [replica] = replicaUrls
      const cwd = yield* temporaryDirectory()
      mkdirSync(join(cwd, "migrations"))
      const env = { DATABASE_URL: replica === undefined ? "" : Redacted.value(replica) }
      for (const args of [["--plan"], ["--yes", "--database-name", name, "--force"]]) {
        const ended = yield* plinth(["reset", ...args], { cwd, env })
        assert.strictEqual(ended.code, 1, ended.stderr)
        assert.match(ended.stderr, /^Error: [^\n]* is not reset\. The server is a standby\. [^\n]*primary\.\n$/)
      }
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer({ replicas: 1 })))
  )

  it.live("warns about the mark of another database and goes on: it is a clone", () =>
    Effect.gen(function* () {
      const { name, query, run } = yield* project
      yield* run("config", "mark", "production")
      yield* query("UPDATE plinth.environment SET database_oid = 1")
      const ended = yield* run("reset", "--yes", "--database-name", name, "--no-backup")
      assert.strictEqual(ended.code, 0, ended.stderr)
      assert.include(ended.stderr, "clone")
    }).pipe(withDatabase)
  )

  it.live("names the connections of others and refuses to end them without --force", () =>
    Effect.gen(function* () {
      const { name, query, run, url } = yield* project
      const answer = ["--yes", "--database-name", name, "--no-backup"]
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* sql`SELECT set_config('application_name', 'colleague', false)`
        const refused = yield* run("reset", ...answer)
        assert.strictEqual(refused.code, 1)
        assert.include(refused.stderr, "colleague")
        assert.strictEqual((yield* run("reset", ...answer, "--force")).code, 0)
      }).pipe(Effect.provide(clientAt(url, 1)))
      assert.deepStrictEqual(yield* query(rows), [])
    }).pipe(withDatabase)
  )

  it.live("refuses another machine without --allow-remote, and any machine under NODE_ENV=production", () =>
    Effect.gen(function* () {
      const remote = yield* plinth(["reset", "--url", "postgres://app@db.example.com/shop", "--yes"])
      assert.strictEqual(remote.code, 1)
      assert.include(remote.stderr, "--allow-remote")
      const production = yield* plinth(["reset", "--url", "postgres://app@localhost/shop", "--yes"], {
        env: { NODE_ENV: "production" }
      })
      assert.strictEqual(production.code, 1)
      assert.include(production.stderr, "NODE_ENV=production")
    })
  )

  it.live.runIf(existsSync("/usr/bin/script"))(
    "asks for the name on a terminal, and takes nothing else for a yes",
    () =>
      Effect.gen(function* () {
        const { given, name, query } = yield* project
        const inTerminal = (typed: string) =>
          shell(`(sleep 3; echo ${typed}) | script -qec "$PLINTH reset --no-backup" /dev/null`, {
            ...given,
            env: { ...given.env, TERM: "xterm" }
          })
        const wrong = yield* inTerminal("yes")
        assert.include(wrong.stdout, "Nothing was changed")
        assert.deepStrictEqual(yield* query(rows), three)
        assert.include((yield* inTerminal(name)).stdout, "dropped and created")
        assert.deepStrictEqual(yield* query(rows), [])
      }).pipe(withDatabase)
  )
})

describe("plinth setup", () => {
  it.live("can be run again and again, and says what it left alone", () =>
    Effect.gen(function* () {
      const { query, run } = yield* project
      const again = yield* run("setup", "--seed")
      assert.strictEqual(again.code, 0, again.stderr)
      assert.match(again.stdout, /ok +migrations +nothing is pending/)
      assert.deepStrictEqual(yield* query(rows), three)
      assert.strictEqual((yield* run("setup", "--plan")).code, 0)
    }).pipe(withDatabase)
  )

  it.live("loads a file of seeds once, by its content, and says so", () =>
    Effect.gen(function* () {
      const { cwd, name, query, run } = yield* project
      writeFileSync(join(cwd, "seeds/0002_log.sql"), "INSERT INTO a SELECT max(id) + 1 FROM a;\n")
      const added = yield* run("setup", "--seed")
      assert.match(added.stdout, /done +seeds +loaded 1 file of seeds in .*; 1 file loaded before/)
      assert.deepStrictEqual(yield* query(rows), [...three, { id: 4 }])
      assert.strictEqual((yield* run("setup", "--seed", "--plan")).code, 0)

      writeFileSync(join(cwd, "seeds/0002_log.sql"), "-- reworded\nINSERT INTO a SELECT max(id)+1 FROM a;\n")
      const again = yield* run("setup", "--seed")
      assert.match(again.stdout, /ok +seeds +2 files of seeds loaded before, so nothing was loaded again/)
      assert.deepStrictEqual(yield* query(rows), [...three, { id: 4 }])

      writeFileSync(join(cwd, "seeds/0002_log.sql"), "INSERT INTO a SELECT max(id) + 2 FROM a;\n")
      assert.include((yield* run("setup", "--seed")).stderr, "it has changed since it was loaded")
      assert.deepStrictEqual(yield* query(rows), [...three, { id: 4 }, { id: 6 }])
      yield* run("reset", "--seed", "--yes", "--database-name", name, "--no-backup")
      assert.deepStrictEqual(yield* query(rows), [{ id: 1 }, { id: 2 }, { id: 4 }])
    }).pipe(withDatabase)
  )

  it.live("loads seeds into a database marked as production only for its name, and migrates nothing before that", () =>
    Effect.gen(function* () {
      const { cwd, name, query, run } = yield* project
      assert.strictEqual((yield* run("config", "mark", "production")).code, 0)
      writeFileSync(join(cwd, "migrations/0002_b.sql"), "CREATE TABLE b (id int);\n")
      writeFileSync(join(cwd, "seeds/0001_a.sql"), "INSERT INTO a VALUES (4);\n")
      const unnamed = yield* run("setup", "--seed")
      assert.deepStrictEqual([unnamed.code, unnamed.stdout], [2, ""])
      assert.include(unnamed.stderr, `"${name}" is marked as production`)
      assert.include(unnamed.stderr, `--database-name ${name}`)
      assert.strictEqual((yield* run("setup", "--seed", "--database-name", "another")).code, 1)
      assert.deepStrictEqual(yield* query(rows), three)
      assert.deepStrictEqual(yield* query("SELECT to_regclass('b')::text AS b"), [{ b: null }])

      assert.strictEqual((yield* run("setup", "--seed", "--plan")).code, 3)
      assert.strictEqual((yield* run("setup")).code, 0)
      assert.deepStrictEqual(yield* query(rows), three)
      assert.strictEqual((yield* run("setup", "--seed", "--database-name", name)).code, 0)
      assert.deepStrictEqual(yield* query(rows), [...three, { id: 4 }])
    }).pipe(withDatabase)
  )

  it.live("creates the database only when asked", () =>
    Effect.gen(function* () {
      const { cwd, name, query, url } = yield* project
      const missing = new URL(Redacted.value(url))
      missing.pathname = `/${name}_new`
      const given = { cwd, env: { DATABASE_URL: missing.href } }
      const refused = yield* plinth(["setup"], given)
      assert.strictEqual(refused.code, 1)
      assert.include(refused.stderr, "--create-database")
      assert.strictEqual((yield* plinth(["setup", "--create-database", "--plan"], given)).code, 3)
      const made = yield* plinth(["setup", "--create-database"], given)
      assert.strictEqual(made.code, 0, made.stderr)
      assert.match(made.stdout, /done +database/)
      yield* query(`DROP DATABASE ${name}_new WITH (FORCE)`)
    }).pipe(withDatabase)
  )

  it.live("shows the place of a failing seed and keeps nothing of its file", () =>
    Effect.gen(function* () {
      const { cwd, query, run } = yield* project
      writeFileSync(join(cwd, "seeds/0002_b.sql"), "INSERT INTO a VALUES (4);\n\nINSERT INTO a VALUES (nonsense);\n")
      const ended = yield* run("setup", "--seed")
      assert.strictEqual(ended.code, 1)
      assert.include(ended.stderr, "seeds/0002_b.sql:3:23")
      assert.include(ended.stderr, "^")
      assert.deepStrictEqual(yield* query(rows), three)
    }).pipe(withDatabase)
  )

  it.live("refuses seeds that no connection of a program can run, before it migrates or drops anything", () =>
    Effect.gen(function* () {
      const { cwd, name, query, run } = yield* project
      writeFileSync(join(cwd, "migrations/0002_b.sql"), "CREATE TABLE b (id int PRIMARY KEY);\n")
      for (const [text, advice] of [
        ["INSERT INTO a VALUES (4);\nCOPY a (id) FROM stdin;\n5\n\\.\n", "pg_dump --inserts"],
        ["INSERT INTO a VALUES (4);\nCOMMIT;\n", "transaction of its own"]
      ] as const) {
        writeFileSync(join(cwd, "seeds/0002_b.sql"), text)
        for (const args of [
          ["setup", "--seed"],
          ["reset", "--seed", "--no-backup", "--yes", "--database-name", name]
        ]) {
          const ended = yield* run(...args)
          assert.strictEqual(ended.code, 2, ended.stderr)
          assert.include(ended.stderr, "seeds/0002_b.sql:2:1")
          assert.include(ended.stderr, advice)
        }
      }
      assert.deepStrictEqual(yield* query(rows), three)
      assert.deepStrictEqual(yield* query("SELECT to_regclass('b')::text AS b"), [{ b: null }])
    }).pipe(withDatabase)
  )
})
