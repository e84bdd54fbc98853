import { assert, describe, it } from "@effect/vitest"
import * as PgClient from "@effect/sql-pg/PgClient"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { Migrator } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { harness, ids, states, withDatabase } from "./support/migrators.ts"

const first = { "0001_a.sql": "CREATE TABLE a (id int);" }
const both = { ...first, "0002_b.sql": "CREATE TABLE b (id int, -- key\n  x text);" }

describe("the history", () => {
  it.live("records who applied what, when and how, with the text itself", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness(both, { application: "shop" })
      yield* migrator.up()
      const rows = yield* sql<Record<string, unknown>>`
        SELECT *, finished_at >= started_at AND duration_ms >= 0 AS timed FROM plinth.migration ORDER BY run`
      assert.deepInclude(rows[1], {
        id: "0002",
        name: "b",
        kind: "versioned",
        status: "applied",
        transactional: true,
        applied_text: both["0002_b.sql"],
        down_text: null,
        statements: 1,
        statements_done: 1,
        application: "shop",
        applied_by: "postgres",
        timed: true
      })
    }).pipe(withDatabase)
  )

  it.live("takes files with CRLF and BOM for the files that were applied", () =>
    Effect.gen(function* () {
      yield* (yield* harness(both)).migrator.up()
      const windows = Object.fromEntries(
        Object.entries(both).map(([name, text]) => [name, `\uFEFF${text.replaceAll("\n", "\r\n")}`])
      )
      const status = yield* (yield* harness(windows)).migrator.status
      assert.deepStrictEqual(states(status), { "0001": "applied", "0002": "applied" })
      assert.deepStrictEqual(status.notes, [])
    }).pipe(withDatabase)
  )

  it.live("refuses an applied file whose SQL was edited, with the difference", () =>
    Effect.gen(function* () {
      yield* (yield* harness(both)).migrator.up()
      const { migrator } = yield* harness({ ...both, "0002_b.sql": "CREATE TABLE b (id int, -- key\n  x varchar);" })
      const error = yield* Effect.flip(migrator.up())
      assert.strictEqual(error.reason, "Edited")
      assert.include(error.message, "-   x text);\n+   x varchar);")
      assert.strictEqual(states(yield* migrator.status)["0002"], "edited")
    }).pipe(withDatabase)
  )

  it.live("only notes an edit of comments and layout", () =>
    Effect.gen(function* () {
      yield* (yield* harness(both)).migrator.up()
      const { events, migrator } = yield* harness({ ...both, "0002_b.sql": "create table b (\n  id int, x text\n);" })
      assert.deepStrictEqual(ids(yield* migrator.up()), [])
      assert.lengthOf((yield* migrator.status).notes, 1)
      assert.deepInclude(events[0], { _tag: "Notice" })
    }).pipe(withDatabase)
  )

  it.live("refuses to run when an applied file is gone, and names a file with the same content", () =>
    Effect.gen(function* () {
      yield* (yield* harness(both)).migrator.up()
      const gone = yield* Effect.flip((yield* harness(first)).migrator.up())
      assert.strictEqual(gone.reason, "Missing")
      assert.include(gone.message, "0002_b is applied, and its file is gone")
      const moved = yield* Effect.flip((yield* harness({ ...first, "0003_b.sql": both["0002_b.sql"] })).migrator.up())
      assert.strictEqual(moved.reason, "Renamed")
      assert.include(moved.message, "its file is now 0003_b.sql")
      const renamed = yield* Effect.flip((yield* harness({ ...first, "0002_c.sql": both["0002_b.sql"] })).migrator.up())
      assert.strictEqual(renamed.reason, "Renamed")
      assert.include(renamed.message, "0002_b")
    }).pipe(withDatabase)
  )

  it.live("refuses an older file that was merged later, unless it is told to apply it", () =>
    Effect.gen(function* () {
      const late = { ...both, "0003_c.sql": "CREATE TABLE c (id int);" }
      yield* (yield* harness({ ...first, "0003_c.sql": late["0003_c.sql"] })).migrator.up()
      const { migrator } = yield* harness(late)
      const error = yield* Effect.flip(migrator.up())
      assert.strictEqual(error.reason, "OutOfOrder")
      assert.strictEqual(error.migration, "0002")
      assert.strictEqual(states(yield* migrator.status)["0002"], "out-of-order")
      const lenient = yield* harness(late, { outOfOrder: "apply" })
      assert.deepStrictEqual(ids(yield* lenient.migrator.up()), ["0002"])
    }).pipe(withDatabase)
  )

  it.live("stops at the migration that is asked for and leaves repeatable ones for the last", () =>
    Effect.gen(function* () {
      const { migrator } = yield* harness({ ...both, "R__v.sql": "CREATE OR REPLACE VIEW v AS SELECT * FROM b" })
      assert.deepStrictEqual(ids(yield* migrator.up({ to: "0001" })), ["0001"])
      assert.deepStrictEqual(ids((yield* migrator.plan()).migrations), ["0002", "R__v"])
      assert.deepStrictEqual(ids(yield* migrator.up({ to: "2" })), ["0002", "R__v"])
      assert.strictEqual((yield* Effect.flip(migrator.up({ to: "9" }))).reason, "UnknownMigration")
    }).pipe(withDatabase)
  )

  it.live("runs a migration only in the environments that it names, and after what it depends on", () =>
    Effect.gen(function* () {
      const files = {
        ...first,
        "0002_b.sql": "-- plinth: environment=staging,test\nCREATE TABLE b (id int);",
        "0003_c.sql": "-- plinth: depends=0002\nCREATE TABLE c (id int);"
      }
      const anywhere = yield* harness(files)
      assert.strictEqual((yield* Effect.flip(anywhere.migrator.up())).reason, "DependencyMissing")
      assert.strictEqual(states(yield* anywhere.migrator.status)["0002"], "other-environment")
      const test = yield* harness(files, { environment: "test" })
      assert.deepStrictEqual(ids(yield* test.migrator.up()), ["0001", "0002", "0003"])
    }).pipe(withDatabase)
  )

  it.live("answers status to a role that may create nothing, before and after the first run", () =>
    Effect.gen(function* () {
      const owner = yield* harness(both)
      const { name, url } = yield* TestDatabase.TestDatabase
      const role = `reader_${name}`
      yield* owner.sql.unsafe(`CREATE ROLE ${role} LOGIN`)
      yield* Effect.addFinalizer(() =>
        Effect.ignoreLogged(owner.sql.unsafe(`DROP OWNED BY ${role}; DROP ROLE ${role}`))
      )
      const asReader = new URL(Redacted.value(url))
      asReader.username = role
      const layer = Migrator.layer({ source: Migrator.fromRecord(both) })
      const run = <A, E>(effect: Effect.Effect<A, E, Migrator.Migrator>) =>
        effect.pipe(
          Effect.provide(layer),
          Effect.provide(PgClient.layer({ url: Redacted.make(asReader.href), maxConnections: 2 }))
        )
      const status = Effect.flatMap(Migrator.Migrator, (migrator) => migrator.status)
      assert.strictEqual((yield* run(status)).pending, 2)
      const refused = yield* Effect.flip(run(Effect.flatMap(Migrator.Migrator, (migrator) => migrator.up())))
      assert.deepInclude(refused, { _tag: "MigrationError", reason: "InsufficientPrivilege" })
      yield* owner.migrator.up()
      const blind = yield* Effect.flip(run(status))
      assert.include(blind.message, "GRANT SELECT ON ALL TABLES IN SCHEMA plinth")
      yield* owner.sql.unsafe(
        `GRANT USAGE ON SCHEMA plinth TO ${role}; GRANT SELECT ON ALL TABLES IN SCHEMA plinth TO ${role}`
      )
      assert.strictEqual((yield* run(status)).pending, 0)
    }).pipe(withDatabase)
  )

  it.live(
    "refuses a schema plinth that a later release has made incompatible, and works beside one that it has not",
    () =>
      Effect.gen(function* () {
        const { migrator, sql } = yield* harness(both)
        yield* migrator.up()
        yield* sql`INSERT INTO plinth.schema_version (version, compatible_from) VALUES (98, 1)`
        assert.deepStrictEqual(ids(yield* migrator.up()), [])
        yield* sql`INSERT INTO plinth.schema_version (version, compatible_from) VALUES (99, 97)`
        assert.strictEqual((yield* Effect.flip(migrator.up())).reason, "NewerSchema")
        assert.strictEqual((yield* Effect.flip(migrator.status)).reason, "NewerSchema")
      }).pipe(withDatabase)
  )

  it.live("is read on a standby, where nothing is migrated", () =>
    Effect.gen(function* () {
      yield* (yield* harness(first)).migrator.up()
      const { replicaUrls } = yield* TestDatabase.TestDatabase
      const [url = Redacted.make("")] = replicaUrls
      yield* Effect.gen(function* () {
        const migrator = yield* Migrator.make({ source: Migrator.fromRecord(both) })
        yield* Effect.repeat(migrator.status, {
          until: ({ pending }) => pending === 1,
          schedule: Schedule.spaced("20 millis")
        })
        assert.deepStrictEqual(states(yield* migrator.status), { "0001": "applied", "0002": "pending" })
        assert.strictEqual((yield* Effect.flip(migrator.up())).reason, "ReadOnlyServer")
      }).pipe(Effect.provide(PgClient.layer({ url, maxConnections: 2 })))
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer({ replicas: 1 })))
  )

  it.live("gives the connection back as it came, and each migration the same session", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const files = {
        "0001_a.sql": "CREATE SCHEMA s; SET search_path = s; SET ROLE pg_monitor; CREATE TEMP TABLE t (id int);",
        "0002_b.sql": "RESET ROLE; CREATE TABLE b (id int); CREATE TABLE t (id int);"
      }
      yield* Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const migrator = yield* Migrator.make({ source: Migrator.fromRecord(files) })
        yield* migrator.up()
        assert.deepStrictEqual(
          yield* sql`SELECT to_regclass('public.b') IS NOT NULL AS b, to_regclass('public.t') IS NOT NULL AS t`,
          [{ b: true, t: true }]
        )
        const settings = yield* sql`SELECT current_setting('search_path') AS path, current_user AS role,
          current_setting('application_name') AS application, current_setting('idle_in_transaction_session_timeout') AS idle`
        assert.deepStrictEqual(settings, [{ path: '"$user", public', role: "postgres", application: "app", idle: "0" }])
      }).pipe(Effect.provide(PgClient.layer({ url, maxConnections: 2, applicationName: "app" })))
    }).pipe(withDatabase)
  )
})
