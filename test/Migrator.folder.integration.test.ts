import { assert, describe, it } from "@effect/vitest"
import * as FileSystem from "@effect/platform/FileSystem"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import { Migrator } from "effect-plinth"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { harness, ids, states, withDatabase } from "./support/migrators.ts"

const root = fileURLToPath(new URL("..", import.meta.url))

/** A folder with these files, deleted afterwards. Beside the sources, so that its programs find the packages. */
const folder = (files: Readonly<Record<string, string>>) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    yield* fs.makeDirectory(path.join(root, ".cache"), { recursive: true })
    const directory = yield* fs.makeTempDirectoryScoped({ directory: path.join(root, ".cache"), prefix: "migrations-" })
    yield* Effect.forEach(Object.entries(files), ([name, text]) => fs.writeFileString(path.join(directory, name), text))
    return directory
  })

const program = `
import * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { Migration } from "effect-plinth/Migrator"

const table: string = "made"

export default Migration.make({
  up: Effect.flatMap(SqlClient.SqlClient, (sql) => sql\`CREATE TABLE \${sql(table)} (id int)\`),
  down: Effect.flatMap(SqlClient.SqlClient, (sql) => sql\`DROP TABLE \${sql(table)}\`)
})
`

const overFolder = (directory: string) =>
  Effect.flatMap(Migrator.fromFolder(directory), (source) => harness({}, { source: Effect.succeed(source) }))

describe("Migrator.fromFolder", () => {
  it.live("runs SQL and TypeScript files, with the ways back beside them or in them", () =>
    Effect.gen(function* () {
      const directory = yield* folder({
        "0001_a.sql": "CREATE TABLE a (id int);",
        "0001_a.down.sql": "DROP TABLE a;",
        "0002_made.ts": program,
        "0003_c.sql": "CREATE TABLE c (id int);\n-- plinth:down\nDROP TABLE c;",
        "README.md": "not a migration"
      })
      const { migrator, sql } = yield* overFolder(directory)
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0001", "0002", "0003"])
      assert.deepStrictEqual(ids(yield* migrator.down({ to: "0" })), ["0003", "0002", "0001"])
      assert.deepStrictEqual(yield* sql`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace`, [])
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0001", "0002", "0003"])
    }).pipe(Effect.provide(NodeContext.layer), withDatabase)
  )

  it.live("takes the example migrations up, all the way back, and up again", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* overFolder(`${root}migrations`)
      const applied = ids(yield* migrator.up())
      assert.isAbove(applied.length, 5)
      const versioned = applied.filter((id) => !id.startsWith("R__"))
      assert.deepStrictEqual(ids(yield* migrator.down({ to: "0" })), versioned.toReversed())
      const left = yield* sql`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace`
      assert.deepStrictEqual(left, [])
      assert.deepStrictEqual(ids(yield* migrator.up()), applied)
      assert.deepStrictEqual((yield* migrator.status).notes, [])
    }).pipe(Effect.provide(NodeContext.layer), withDatabase)
  )

  it.live("stops before anything runs when a program cannot be imported or exports no migration", () =>
    Effect.gen(function* () {
      for (const text of ["export default 1", "import './nowhere.js'"]) {
        const { migrator } = yield* overFolder(yield* folder({ "1_a.sql": "SELECT 1", "2_b.js": text }))
        const error = yield* Effect.flip(migrator.up())
        assert.strictEqual(error.reason, "ImportFailed")
        assert.include(error.message, "2_b.js")
        assert.strictEqual((yield* migrator.status).pending, 2)
      }
    }).pipe(Effect.provide(NodeContext.layer), withDatabase)
  )

  it.live("refuses a TypeScript file under a Node that cannot run it, and names tsx", () =>
    Effect.gen(function* () {
      const directory = yield* folder({ "0001_made.ts": program })
      const script = `
        import { register } from "tsx/esm/api"
        const unregister = register()
        const { importMigration } = await import("./src/Migrator/importMigration.ts")
        const Effect = await import("effect/Effect")
        await unregister()
        const url = new URL("file://${directory}/0001_made.ts").href
        console.log(await Effect.runPromise(Effect.either(importMigration("0001_made.ts", url))))`
      const { stdout } = yield* Effect.promise(() =>
        promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], { cwd: root })
      )
      // From Node 22.18 `process.features.typescript` is "strip" unless it is switched off.
      if (!new Set<unknown>(Object.values(process.features)).has("strip")) {
        assert.include(stdout, "ImportFailed")
        assert.include(stdout, "NODE_OPTIONS='--import tsx'")
      } else {
        assert.notInclude(stdout, "which this Node does not run")
      }
    }).pipe(Effect.provide(NodeContext.layer), Effect.scoped)
  )

  it.live("refuses names, duplicates and styles that leave the order open", () =>
    Effect.gen(function* () {
      const refused = (files: Readonly<Record<string, string>>) =>
        Effect.flatMap(folder(files), (directory) =>
          Effect.flatMap(Migrator.fromFolder(directory), ({ load }) => Effect.flip(load))
        )
      const cases = [
        [{ "first.sql": "" }, "is not the name of a migration"],
        [{ "0001_a.SQL": "" }, "is not the name of a migration"],
        [{ "0001_a.sql": "", "1_b.sql": "" }, "have the same id"],
        [{ "0001_a.sql": "", "0001_a.ts": "" }, "have the same id"],
        [{ "0001_a.sql": "", "20261122153000_b.sql": "" }, "number migrations in two ways"],
        [{ "0001_a.down.sql": "" }, "has no 0001_a.sql, .ts or .js beside it"],
        [{ "0001_a.sql": "-- plinth:down\nSELECT 1", "0001_a.down.sql": "" }, "a down section and"]
      ] as const
      for (const [files, message] of cases) {
        const error = yield* refused(files)
        assert.strictEqual(error.reason, "InvalidSource")
        assert.include(error.message, message)
      }
      const missing = yield* Effect.flatMap(Migrator.fromFolder("/nowhere"), ({ load }) => Effect.flip(load))
      assert.include(missing.message, "/nowhere cannot be read")
    }).pipe(Effect.provide(NodeContext.layer), Effect.scoped)
  )
})

describe("Migrator.create", () => {
  it.live("names a file in the style of its folder, one after the last, and never overwrites", () =>
    Effect.gen(function* () {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* folder({})
      const create = (name: string, options: Partial<Migrator.CreateOptions> = {}) =>
        Effect.map(Migrator.create({ folder: directory, name, ...options }), (file) => file.slice(directory.length + 1))
      assert.strictEqual(yield* create("Add e-mail to Users!"), "0001_add_e_mail_to_users.sql")
      assert.strictEqual(yield* create("two", { kind: "ts" }), "0002_two.ts")
      assert.strictEqual(yield* create("Names", { kind: "repeatable" }), "R__names.sql")
      assert.include((yield* Effect.flip(create("names", { kind: "repeatable" }))).message, "AlreadyExists")
      assert.include((yield* Effect.flip(create("!!"))).message, "names no migration")
      yield* fs.writeFileString(`${directory}/0041_x.sql`, "SELECT 1")
      assert.strictEqual(yield* create("three"), "0042_three.sql")
      const stamped = yield* folder({})
      const file = yield* Migrator.create({ folder: stamped, name: "a", style: "timestamp" })
      assert.match(file, /\/20\d{12}_a\.sql$/)
      const next = yield* Migrator.create({ folder: stamped, name: "b" })
      assert.isAbove(Number(next.slice(-20, -6)), Number(file.slice(-20, -6)))
    }).pipe(Effect.provide(NodeContext.layer), Effect.scoped)
  )

  it.live("makes files that can be run as they are", () =>
    Effect.gen(function* () {
      const directory = yield* folder({})
      yield* Migrator.create({ folder: directory, name: "a" })
      yield* Migrator.create({ folder: directory, name: "b", kind: "ts" })
      const { migrator } = yield* overFolder(directory)
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0001", "0002"])
      // The empty down section of the template is not a way back.
      assert.strictEqual((yield* Effect.flip(migrator.down({ steps: 2 }))).reason, "Irreversible")
      assert.deepStrictEqual(states(yield* migrator.status), { "0001": "applied", "0002": "applied" })
    }).pipe(Effect.provide(NodeContext.layer), withDatabase)
  )
})
