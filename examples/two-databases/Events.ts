/**
 * What happened, for people who count: kept in a database of its own, so that their queries cost the shop nothing.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Database } from "effect-plinth"

export const Analytics = Database.tag("analytics")

export class Events extends Context.Tag("two-databases/Events")<
  Events,
  { readonly record: (kind: string) => Effect.Effect<void, SqlError> }
>() {}

/** Asks for a `SqlClient` as every service does, and gets that of the analytics: the type says which database is left. */
export const layer: Layer.Layer<Events, never, Database.ServicesOf<"analytics">> = Layer.effect(
  Events,
  Effect.map(SqlClient.SqlClient, (sql) => ({
    record: (kind: string) => Effect.asVoid(sql`INSERT INTO events ${sql.insert({ kind })}`)
  }))
).pipe(Layer.provide(Analytics.services))
