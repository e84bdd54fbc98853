/**
 * Changes the schema of a database that is in use: from any number of processes at once, without making others wait, and
 * so that whatever was interrupted goes on at the next run.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { MigrationError } from "./Migrator/MigrationError.ts"
import type { DownOptions, MigratorOptions, PlanOptions, UpOptions } from "./Migrator/Options.ts"
import type { Plan } from "./Migrator/Plan.ts"
import type { Status } from "./Migrator/Status.ts"
import { makeEngine, planEmpty } from "./Migrator/Engine.ts"
import type { Ran } from "./Migrator/Engine.ts"

export * as Migration from "./Migrator/Migration.ts"
export { MigrationError } from "./Migrator/MigrationError.ts"
export type { Location, Reason } from "./Migrator/MigrationError.ts"
export { MigrationEvent } from "./Migrator/Event.ts"
export type { Blocker } from "./Migrator/Event.ts"
export { lockApplication } from "./Migrator/Lock.ts"
export { fromFolder, fromRecord } from "./Migrator/Source.ts"
export type { Source } from "./Migrator/Source.ts"
export { create } from "./Migrator/create.ts"
export type { CreateOptions } from "./Migrator/create.ts"
export { facts } from "./Migrator/facts.ts"
export type { Plan, PlannedMigration, PlannedSegment, PlannedStatement } from "./Migrator/Plan.ts"
export type { Status, StatusEntry } from "./Migrator/Status.ts"
export type { State } from "./Migrator/Reconcile.ts"
export type { DownOptions, MigratorOptions, PlanOptions, UpOptions } from "./Migrator/Options.ts"
export type { Ran } from "./Migrator/Engine.ts"

/**
 * Migrations of one database.
 *
 * @since 0.1.0
 * @category tags
 */
export class Migrator extends Context.Tag("plinth/Migrator")<
  Migrator,
  {
    /** What a run would do, and why it would be refused; changes nothing and waits for nobody. */
    readonly plan: (options?: PlanOptions) => Effect.Effect<Plan, MigrationError>
    /** Applies what is pending, in order. Who waited for another process and finds nothing left succeeds. */
    readonly up: (options?: UpOptions) => Effect.Effect<ReadonlyArray<Ran>, MigrationError>
    /** Takes applied migrations back, the last one first. */
    readonly down: (options?: DownOptions) => Effect.Effect<ReadonlyArray<Ran>, MigrationError>
    /** Where every migration stands; needs no privilege but to read. */
    readonly status: Effect.Effect<Status, MigrationError>
  }
>() {}

/**
 * @since 0.1.0
 * @category constructors
 */
export const make = <R = never>(
  options: MigratorOptions<R>
): Effect.Effect<Migrator["Type"], MigrationError, R | SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    const source = yield* options.source
    return makeEngine({ ...options, source, session: options.session ?? sql.reserve })
  })

/**
 * What `up` would do in a database that is made anew: reads every file, imports every program and reaches no database, so
 * that what cannot be applied is known before the old one is dropped.
 *
 * @since 0.1.0
 * @category constructors
 */
export const planFresh = <R = never>(
  options: Pick<MigratorOptions<R>, "source" | "environment">
): Effect.Effect<Plan, MigrationError, R> =>
  Effect.flatMap(options.source, (source) => planEmpty(source, options.environment))

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(
  options: MigratorOptions<R>
): Layer.Layer<Migrator, MigrationError, R | SqlClient.SqlClient> => Layer.effect(Migrator, make(options))

/**
 * A migrator of which only the given members exist.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest = (partial: Partial<Migrator["Type"]>): Layer.Layer<Migrator> => Layer.mock(Migrator, partial)
