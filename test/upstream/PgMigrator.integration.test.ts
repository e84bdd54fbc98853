/**
 * What the migrator of `@effect/sql-pg` asks of a client. It has no suite upstream; these are the promises of its docs.
 */
import * as Command from "@effect/platform/Command"
import * as CommandExecutor from "@effect/platform/CommandExecutor"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as PgMigrator from "@effect/sql-pg/PgMigrator"
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import { contestants } from "./clients.ts"
import type { Client } from "./clients.ts"

/** The statement as a migration. */
const migration = (statement: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) => Effect.asVoid(sql.unsafe(statement)))

const migrate = (table: string, migrations: Record<string, string>) =>
  PgMigrator.run({
    table,
    loader: PgMigrator.fromRecord(
      Object.fromEntries(Object.entries(migrations).map(([key, statement]) => [key, migration(statement)]))
    )
  })

const applied = (table: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    Effect.map(
      sql<{ migration_id: number; name: string }>`SELECT migration_id, name FROM ${sql(table)} ORDER BY 1`,
      (rows) => rows.map((row) => [row.migration_id, row.name])
    )
  )

const suite = (name: string, client: Client) =>
  layer(Layer.merge(client, NodeContext.layer), { excludeTestServices: true })(name, (it) => {
    it.effect("applies what is new, in order, and each once", () =>
      Effect.gen(function* () {
        const first = { "0001_table": "CREATE TABLE m1 (id int)", "0002_column": "ALTER TABLE m1 ADD COLUMN name text" }
        assert.deepStrictEqual(yield* migrate("migrations_1", first), [
          [1, "table"],
          [2, "column"]
        ])
        assert.deepStrictEqual(yield* migrate("migrations_1", first), [])
        const more = { ...first, "0003_several": "INSERT INTO m1 VALUES (1, 'a'); INSERT INTO m1 VALUES (2, 'b')" }
        assert.deepStrictEqual(yield* migrate("migrations_1", more), [[3, "several"]])
        assert.deepStrictEqual(yield* applied("migrations_1"), [
          [1, "table"],
          [2, "column"],
          [3, "several"]
        ])
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql`SELECT * FROM m1 ORDER BY id`, [
          { id: 1, name: "a" },
          { id: 2, name: "b" }
        ])
      })
    )

    it.effect("takes back all of a run of which one fails", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const exit = yield* Effect.exit(
          migrate("migrations_2", { "0001_good": "CREATE TABLE m2 (id int)", "0002_bad": "CREATE TABLE m2 (id int)" })
        )
        assert.include(Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "success", `Migration "2_bad" failed`)
        assert.deepStrictEqual(yield* applied("migrations_2"), [])
        assert.deepStrictEqual(yield* sql`SELECT to_regclass('m2') IS NULL AS absent`, [{ absent: true }])
        yield* migrate("migrations_2", { "0001_good": "CREATE TABLE m2 (id int)" })
        assert.deepStrictEqual(yield* applied("migrations_2"), [[1, "good"]])
      })
    )

    it.effect("refuses two migrations of one id", () =>
      Effect.gen(function* () {
        const error = yield* Effect.flip(migrate("migrations_3", { "1_a": "SELECT 1", "01_b": "SELECT 1" }))
        assert.strictEqual(error._tag === "MigrationError" && error.reason, "duplicates")
      })
    )

    it.effect("applies once what several programs apply at once", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        yield* migrate("migrations_4", {})
        const run = migrate("migrations_4", { "1_slow": "CREATE TABLE m4 AS SELECT pg_sleep(0.1)::text AS slept" })
        const results = yield* Effect.all([run, run, run], { concurrency: 3 })
        assert.deepStrictEqual(results.flat(), [[1, "slow"]])
        assert.lengthOf(yield* sql`SELECT * FROM m4`, 1)
      })
    )

    it.effect("runs migrations that use transactions of their own", () =>
      Effect.gen(function* () {
        const nested = Effect.gen(function* () {
          const sql = yield* SqlClient.SqlClient
          yield* sql`CREATE TABLE m5 (id int)`
          yield* sql.withTransaction(sql`INSERT INTO m5 SELECT generate_series(1, 3)`)
          yield* Effect.ignore(
            sql.withTransaction(Effect.zipRight(sql`INSERT INTO m5 VALUES (4)`, Effect.fail("undone")))
          )
          yield* Effect.ignore(sql.withTransaction(sql`SELECT 1 / 0`))
        })
        yield* PgMigrator.run({ table: "migrations_5", loader: PgMigrator.fromRecord({ "1_nested": nested }) })
        const sql = yield* SqlClient.SqlClient
        assert.deepStrictEqual(yield* sql`SELECT count(*)::int AS n FROM m5`, [{ n: 3 }])
      })
    )

    it.scoped("dumps the schema of the database that it migrated", () =>
      Effect.gen(function* () {
        const sql = yield* SqlClient.SqlClient
        const environments: Array<Record<string, string | undefined>> = []
        const executor = yield* CommandExecutor.CommandExecutor
        const recording = CommandExecutor.makeExecutor((command) => {
          for (const { env } of Command.flatten(command)) environments.push(Object.fromEntries(env))
          return executor.start(Command.make("true"))
        })
        yield* PgMigrator.run({
          table: "migrations_6",
          schemaDirectory: yield* Effect.flatMap(FileSystem.FileSystem, (fs) => fs.makeTempDirectoryScoped()),
          loader: PgMigrator.fromRecord({ "1_a": migration("SELECT 1") })
        }).pipe(Effect.provideService(CommandExecutor.CommandExecutor, recording))
        const [server] = yield* sql<{ port: number; database: string; user: string }>`
          SELECT inet_server_port() AS port, current_database() AS database, current_user AS user`
        for (const env of environments) {
          assert.deepStrictEqual(
            { port: Number(env["PGPORT"]), database: env["PGDATABASE"], user: env["PGUSER"] },
            server
          )
        }
        assert.lengthOf(environments, 2)
      })
    )
  })

for (const { make, name } of contestants) suite(name, make())
