/**
 * Migrators over a database of their own, each with its own connections, as if it were another process.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import { Migrator } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { clientAt } from "./clients.ts"

export type Files = Readonly<Record<string, string | Migrator.Migration.Migration>>

/** A migrator of these files on the test's database; its connections are closed with the scope. */
export const harness = (files: Files, options: Partial<Migrator.MigratorOptions> = {}) =>
  Effect.gen(function* () {
    const { url } = yield* TestDatabase.TestDatabase
    const client = clientAt(url, 4)
    const events: Array<Migrator.MigrationEvent> = []
    const layer = Migrator.layer({
      source: Migrator.fromRecord(files),
      onEvent: (event) => Effect.sync(() => void events.push(event)),
      ...options
    })
    const context = yield* Layer.build(layer.pipe(Layer.provideMerge(client)))
    return {
      migrator: Context.get(context, Migrator.Migrator),
      sql: Context.get(context, SqlClient.SqlClient),
      events
    }
  })

/** Gives an effect a fresh database, which outlives its scope. */
export const withDatabase = <A, E>(effect: Effect.Effect<A, E, Scope.Scope | TestDatabase.TestDatabase>) =>
  effect.pipe(Effect.scoped, Effect.provide(TestDatabase.layer()))

/** The ids that a run applied or took back. */
export const ids = (ran: ReadonlyArray<{ readonly id: string }>): ReadonlyArray<string> => ran.map(({ id }) => id)

/** The states by id. */
export const states = (status: Migrator.Status): Readonly<Record<string, string>> =>
  Object.fromEntries(status.entries.map(({ id, state }) => [id, state]))
