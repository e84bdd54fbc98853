/**
 * The default stack: configuration in, everything wired once, each pool built once.
 *
 * @since 0.1.0
 */
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as ConnectionPool from "./ConnectionPool.ts"
import * as DatabaseClient from "./DatabaseClient.ts"
import * as DatabaseConfig from "./DatabaseConfig.ts"
import type { ConnectionTarget, DatabaseConfigError, Settings } from "./DatabaseConfig.ts"
import type { Named } from "./Database/Named.ts"
import * as NamedTags from "./Database/Named.ts"
import * as ReplicaNotices from "./Database/ReplicaNotices.ts"
import type { DatabaseError } from "./DatabaseError.ts"
import type { Target } from "./HealthCheck.ts"
import * as HealthMonitor from "./HealthMonitor.ts"
import * as Listener from "./Listener.ts"
import * as Migrator from "./Migrator.ts"
import type { MigrationError } from "./Migrator.ts"
import * as NodeMonitor from "./NodeMonitor.ts"
import * as PoolOptimizer from "./PoolOptimizer.ts"
import * as QueryRouter from "./QueryRouter.ts"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Named,
  /**
   * @since 0.1.0
   * @category models
   */
  Of,
  /**
   * @since 0.1.0
   * @category models
   */
  ServicesOf
} from "./Database/Named.ts"

/**
 * What the default stack provides.
 *
 * @since 0.1.0
 * @category models
 */
export type Services =
  | DatabaseClient.ClientServices
  | QueryRouter.QueryRouter
  | NodeMonitor.NodeMonitor
  | Listener.Listener
  | HealthMonitor.HealthMonitor

/**
 * @since 0.1.0
 * @category options
 */
export interface Options<R = never> extends DatabaseConfig.Options {
  readonly client?: DatabaseClient.ClientOptions | undefined
  /** How values become JavaScript. @default as with node-postgres */
  readonly types?: ConnectionPool.TypeOptions | undefined
  /**
   * The migrations of this program, such as `Migrator.fromFolder("migrations")`: the health monitor says whether the
   * database is behind them. They are read once, when the layer is built, and not applied.
   *
   * @default none, and the monitor does not check them
   */
  readonly migrations?: Effect.Effect<Migrator.Source, MigrationError, R> | undefined
  /**
   * Lets the pools find their size between bounds by the latency that they measure; see `PoolOptimizer.auto`.
   *
   * @default none: they keep `maxConnections`
   */
  readonly poolOptimizer?: PoolOptimizer.AutoOptions | undefined
  /** Options of the health monitor; its nodes are those of the configuration. */
  readonly health?: Omit<HealthMonitor.Options, "nodes"> | undefined
}

/**
 * @since 0.1.0
 * @category errors
 */
export type BuildError = DatabaseError | DatabaseConfigError | HealthMonitor.HealthMonitorError | MigrationError

/**
 * The stack as a value: for a second database beside the one that the program's layers provide, or for databases that
 * are known only at run time, such as one per tenant. It shares nothing with any other.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<Context.Context<Services>, BuildError, Scope.Scope> =>
  Layer.build(layer(options))

/**
 * Tags of its own for a database beside the default one. The same name gives the same tags.
 *
 * @example
 * ```ts
 * import { Database } from "effect-plinth"
 * import * as Effect from "effect/Effect"
 *
 * const Analytics = Database.tag("analytics")
 *
 * const events = Effect.flatMap(Analytics.SqlClient, (sql) => sql`SELECT count(*) FROM events`)
 * const program = Effect.provide(events, Analytics.layer({ url: "postgres://localhost/analytics" }))
 * ```
 *
 * @since 0.1.0
 * @category tags
 */
export const tag = <const Name extends string>(name: Name): Named<Name> => NamedTags.make(name, layer)

/**
 * The stack from options alone. Connects to the primary while it is built, and fails when that fails; replicas may be
 * away.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = <R = never>(options: Options<R> = {}): Layer.Layer<Services, BuildError, R> => {
  const { client, health, migrations, poolOptimizer, types, ...database } = options
  return fromSettings(DatabaseConfig.make(database), { client, health, migrations, poolOptimizer, types })
}

/**
 * The stack from options, else the environment: `DATABASE_URL`, `DATABASE_REPLICA_URLS`, `PLINTH_*` and libpq's own
 * variables, read through the current `ConfigProvider`.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = <R = never>(options: Options<R> = {}): Layer.Layer<Services, BuildError, R> => {
  const { client, health, migrations, poolOptimizer, types, ...database } = options
  return fromSettings(DatabaseConfig.fromEnv(database), { client, health, migrations, poolOptimizer, types })
}

/**
 * A client on one node over a pool of its own, apart from the stack's: for tools, monitors and tests.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerNode = (
  target: ConnectionTarget,
  settings: Settings,
  options: { readonly max: number; readonly lazy?: boolean | undefined }
): Layer.Layer<DatabaseClient.ClientServices, DatabaseError> =>
  DatabaseClient.layer().pipe(
    Layer.provide(
      ConnectionPool.layer({ target, settings: { ...settings.pool, min: 0, max: options.max }, lazy: options.lazy })
    ),
    Layer.provide(Listener.layer(target, settings.pool))
  )

const fromSettings = <R>(
  settings: Effect.Effect<Settings, DatabaseConfigError>,
  options: Pick<Options<R>, "client" | "health" | "migrations" | "poolOptimizer" | "types">
): Layer.Layer<Services, BuildError, R> =>
  Layer.unwrapEffect(
    Effect.map(settings, (resolved) => {
      const { monitor, pool, primary, replicas, router } = resolved
      const nodes = NodeMonitor.layer({ targets: [primary, ...replicas], settings: monitor })
      return Layer.merge(
        Layer.scopedDiscard(Effect.zipRight(ReplicaNotices.make, optimizePools(options.poolOptimizer))).pipe(
          Layer.provideMerge(QueryRouter.layer({ pool, router, client: options.client, types: options.types })),
          Layer.provideMerge(Layer.merge(nodes, Listener.layer(listenerTarget(primary, replicas), pool)))
        ),
        health(resolved, options)
      )
    })
  )

const optimizePools = (options: PoolOptimizer.AutoOptions | undefined) =>
  options === undefined
    ? Effect.void
    : Effect.flatMap(Effect.flatten(Effect.map(QueryRouter.QueryRouter, ({ pools }) => pools)), (pools) =>
        Effect.forEach(pools, (pool) => PoolOptimizer.watch(pool, options), { discard: true })
      )

/** NOTIFY reaches listeners of the same node, so the listener follows the role of the primary and not a host. */
const listenerTarget = (primary: ConnectionTarget, replicas: ReadonlyArray<ConnectionTarget>): ConnectionTarget =>
  replicas.length === 0
    ? primary
    : {
        ...primary,
        alternatives: [...(primary.alternatives ?? []), ...replicas.map(({ host, port }) => ({ host, port }))],
        targetSessionAttrs: "primary"
      }

/** One connection per node beside the pools: a busy pool is not a dead database. */
const health = <R>(
  settings: Settings,
  options: Pick<Options<R>, "health" | "migrations">
): Layer.Layer<HealthMonitor.HealthMonitor, HealthMonitor.HealthMonitorError | MigrationError, R> => {
  const watched = (target: ConnectionTarget, role: Target["role"]) =>
    Effect.map(
      Layer.build(
        layerNode({ ...target, applicationName: `${target.applicationName} health` }, settings, { max: 1, lazy: true })
      ),
      (context): Target => ({
        name: DatabaseConfig.nodeName(target),
        role,
        run: Context.get(context, SqlClient.SqlClient)
      })
    )
  return Layer.scoped(
    HealthMonitor.HealthMonitor,
    Effect.gen(function* () {
      const primary = yield* watched(settings.primary, "primary")
      const replicas = yield* Effect.forEach(settings.replicas, (target) => watched(target, "replica"), {
        concurrency: 4
      })
      const migrations =
        options.migrations === undefined ? undefined : yield* migrationFacts(options.migrations, primary.run)
      return yield* HealthMonitor.make({ migrations, ...options.health, nodes: [primary, ...replicas] })
    }).pipe(
      // A lazy pool connects at its first statement, and that failure is the check's.
      Effect.catchTag("DatabaseError", Effect.die)
    )
  )
}

/** A running program does not change its migrations: they are read once and not every few seconds. */
const migrationFacts = <R>(source: Effect.Effect<Migrator.Source, MigrationError, R>, sql: SqlClient.SqlClient) =>
  Effect.gen(function* () {
    const files = yield* Effect.flatMap(source, ({ load }) => load)
    const migrator = yield* Effect.provideService(
      Migrator.make({ source: Effect.succeed({ load: Effect.succeed(files) }) }),
      SqlClient.SqlClient,
      sql
    )
    return Migrator.facts("migrations", migrator)
  })
