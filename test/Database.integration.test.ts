import * as NodeContext from "@effect/platform-node/NodeContext"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Database, HealthMonitor, Migrator } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { harness, withDatabase } from "./support/migrators.ts"
import { temporaryDirectory } from "./support/temporaryDirectory.ts"

const id = "migrations-behind"

const files = { "0001_a.sql": "CREATE TABLE a (id int);\n", "0002_b.sql": "CREATE TABLE b (id int);\n" }

/** The health monitor of the default stack over the test's database. */
const monitorOf = <R = never>(options: Database.Options<R>) =>
  Effect.gen(function* () {
    const { url } = yield* TestDatabase.TestDatabase
    const context = yield* Layer.build(Database.layer({ health: { background: false }, ...options, url }))
    return Context.get(context, HealthMonitor.HealthMonitor)
  })

const said = (monitor: HealthMonitor.HealthMonitor["Type"]) =>
  Effect.map(monitor.check({ ids: [id] }), ({ outcomes }) =>
    outcomes.flatMap(({ findings, unknowns }) => [...findings.map(({ evidence }) => evidence), ...unknowns])
  )

describe("the default stack", () => {
  it.live("says by how many migrations the database is behind the program, and that it has caught up", () =>
    Effect.gen(function* () {
      const monitor = yield* monitorOf({ migrations: Migrator.fromRecord(files) })
      const { migrator } = yield* harness(files)
      assert.deepStrictEqual(yield* said(monitor), ["2 not applied: 0001, 0002"])
      yield* migrator.up({ to: "0001" })
      assert.deepStrictEqual(yield* said(monitor), ["1 not applied: 0002"])
      yield* migrator.up()
      assert.deepStrictEqual(yield* said(monitor), [])
    }).pipe(withDatabase)
  )

  it.live("is not built over migrations that cannot be read, and names the file", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryDirectory()
      writeFileSync(join(folder, "0001_a.sql"), "-- plinth: lock-timout=2s\n")
      const error = yield* Effect.flip(monitorOf({ migrations: Migrator.fromFolder(folder) }))
      assert.strictEqual(error._tag, "MigrationError")
      assert.include(error.message, "0001_a.sql:1")
    }).pipe(Effect.provide(NodeContext.layer), withDatabase)
  )

  it.live("checks no migrations where it knows of none", () =>
    Effect.gen(function* () {
      const monitor = yield* monitorOf({})
      assert.notInclude(
        monitor.checks.map((check) => check.id),
        id
      )
    }).pipe(withDatabase)
  )
})
