/**
 * What a health check needs to know of the migrations: which are not applied, not finished, or not what was applied.
 */
import * as Effect from "effect/Effect"
import { DatabaseError } from "../DatabaseError.ts"
import type { MigrationFacts, Source } from "../HealthCheck.ts"
import type { MigrationError } from "./MigrationError.ts"
import type { State } from "./Reconcile.ts"
import type { Status } from "./Status.ts"

/**
 * The status of a migrator for `HealthMonitor`, which knows no migrations itself.
 *
 * @since 0.1.0
 * @category constructors
 */
export const facts = (
  name: string,
  migrator: { readonly status: Effect.Effect<Status, MigrationError> }
): Source<MigrationFacts> => ({
  name,
  read: migrator.status.pipe(
    Effect.map(({ entries, running }) => {
      const idsIn = (...states: ReadonlyArray<State>) =>
        entries.filter(({ state }) => states.includes(state)).map(({ id }) => id)
      return {
        pending: idsIn("pending", "out-of-order"),
        failed: idsIn("started", "reverting"),
        drifted: idsIn("edited", "renamed", "missing"),
        running
      }
    }),
    Effect.mapError(unseen)
  )
})

/** The status could not be had: what the database said, else what is wrong with the files. */
const unseen = (error: MigrationError): DatabaseError => {
  const { advice, cause, database, description, location } = error
  const place = location === undefined ? "" : `${location.file}:${location.line}:${location.column}: `
  return (
    database ??
    new DatabaseError({
      reason: "Unknown",
      operation: "migration status",
      description: `${place}${description}`,
      hint: advice,
      cause
    })
  )
}
