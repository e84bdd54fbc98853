/**
 * A program on Plinth's services: migrates, and says how the database is afterwards.
 */
import * as Effect from "effect/Effect"
import { HealthMonitor, Migrator } from "effect-plinth"

export const migrate = Effect.gen(function* () {
  const migrator = yield* Migrator.Migrator
  const monitor = yield* HealthMonitor.HealthMonitor
  const ran = yield* migrator.up()
  return { ran: ran.length, health: HealthMonitor.status(yield* monitor.report) }
})
