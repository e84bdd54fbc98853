import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Database, Migrator } from "effect-plinth"

const program = Effect.gen(function* () {
  const migrator = yield* Migrator.Migrator
  // In as many processes at once as there are: who comes second waits for the lock, and finds nothing left to do.
  yield* migrator.up()
  const { entries } = yield* migrator.status
  const applied = entries.filter(({ state }) => state === "applied")
  yield* Console.log(`${applied.length} of ${entries.length} migrations are applied`)
})

// The folder is read through FileSystem and Path, which NodeContext provides.
const migrations = Migrator.layer({ source: Migrator.fromFolder("migrations") }).pipe(
  Layer.provide([Database.layerConfig(), NodeContext.layer])
)

program.pipe(Effect.provide(migrations), NodeRuntime.runMain)
