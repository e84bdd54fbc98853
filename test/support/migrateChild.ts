/** Migrates in a process of its own that a test can kill: `tsx migrateChild.ts <url> <files as JSON>`. */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Migrator from "../../src/Migrator.ts"

const [, , url = "", files = "{}"] = process.argv

const migrator = Migrator.layer({ source: Migrator.fromRecord(JSON.parse(files)) }).pipe(
  Layer.provide(PgClient.layer({ url: Redacted.make(url), maxConnections: 3 }))
)

Effect.flatMap(Migrator.Migrator, ({ up }) => up()).pipe(Effect.provide(migrator), NodeRuntime.runMain)
