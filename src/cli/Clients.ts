/**
 * The connections of a command: a small pool of its own to each node that it needs, never the application's.
 */
import type * as PgClient from "@effect/sql-pg/PgClient"
import type * as SqlClient from "@effect/sql/SqlClient"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as ConnectionPool from "../ConnectionPool.ts"
import * as DatabaseClient from "../DatabaseClient.ts"
import type { ConnectionTarget, Settings } from "../DatabaseConfig.ts"
import type { DatabaseError } from "../DatabaseError.ts"
import * as Listener from "../Listener.ts"

/** The clients of one node. */
export type Clients = SqlClient.SqlClient | PgClient.PgClient

// A migration holds its two connections for as long as it takes, and no command forgets one.
const commandPool = { min: 0, max: 4, leakAfter: Duration.infinity }

/** Connects to a node; fails when it cannot be reached. `lazy` puts that off to the first statement. */
export const client = (
  target: ConnectionTarget,
  settings: Settings,
  options: { readonly lazy?: boolean } = {}
): Layer.Layer<Clients, DatabaseError> =>
  DatabaseClient.layer().pipe(
    Layer.provide(ConnectionPool.layer({ target, settings: { ...settings.pool, ...commandPool }, lazy: options.lazy })),
    Layer.provide(Listener.layer(target))
  )

/** The clients of a node that may be away, until the scope closes. */
export const connect = (
  target: ConnectionTarget,
  settings: Settings
): Effect.Effect<Context.Context<Clients>, DatabaseError, Scope.Scope> =>
  Layer.build(client(target, settings, { lazy: true }))

/** Runs an effect on the primary. */
export const onPrimary = <A, E, R>(
  effect: Effect.Effect<A, E, R>,
  settings: Settings
): Effect.Effect<A, E | DatabaseError, Exclude<R, Clients>> =>
  Effect.provide(effect, client(settings.primary, settings))
