/**
 * A migration written as a program: what a `.ts` or `.js` file exports.
 *
 * @since 0.1.0
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"

/**
 * A string and not a class, so that a file that imports another copy of this package is understood.
 *
 * @since 0.1.0
 * @category type ids
 */
export const TypeId = "~plinth/Migration"

/**
 * @since 0.1.0
 * @category models
 */
export interface Migration {
  readonly [TypeId]: typeof TypeId
  readonly up: Effect.Effect<unknown, unknown, SqlClient>
  readonly down: Effect.Effect<unknown, unknown, SqlClient> | undefined
}

/**
 * The default export of a migration file. Both programs run on the migration's own connection, inside its transaction
 * and with its timeouts; `sql.withTransaction` in them is a savepoint. They may run more than once, since the
 * transaction is retried when it cannot get a lock, so they change nothing but the database.
 *
 * The `SqlClient` names columns as the database does, whatever name transformation the application's client has.
 *
 * @example
 * ```ts
 * import * as SqlClient from "@effect/sql/SqlClient"
 * import * as Effect from "effect/Effect"
 * import { Migration } from "effect-plinth/Migrator"
 *
 * export default Migration.make({
 *   up: Effect.gen(function* () {
 *     const sql = yield* SqlClient.SqlClient
 *     yield* sql`UPDATE customers SET country = 'GB' WHERE country = 'UK'`
 *   })
 * })
 * ```
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: {
  readonly up: Effect.Effect<unknown, unknown, SqlClient>
  readonly down?: Effect.Effect<unknown, unknown, SqlClient> | undefined
}): Migration => ({ [TypeId]: TypeId, up: options.up, down: options.down })

/**
 * @since 0.1.0
 * @category refinements
 */
export const isMigration = (value: unknown): value is Migration =>
  Predicate.hasProperty(value, TypeId) && value[TypeId] === TypeId
