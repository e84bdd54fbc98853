/**
 * A primary and its replicas as one `SqlClient`: reads go to replicas that have everything the session has seen, the
 * rest goes to the primary.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { ConnectionPool, TypeOptions } from "./ConnectionPool.ts"
import type { PoolSettings, RouterSettings } from "./DatabaseConfig.ts"
import type { ClientOptions } from "./DatabaseClient.ts"
import * as Client from "./DatabaseClient/make.ts"
import type { DatabaseError } from "./DatabaseError.ts"
import { Listener } from "./Listener.ts"
import { NodeMonitor } from "./NodeMonitor.ts"
import { makeBackend } from "./QueryRouter/backend.ts"
import { CurrentSession, Routing, Sessions } from "./QueryRouter/context.ts"
import type { Level } from "./QueryRouter/context.ts"
import type { StatementClass } from "./SqlClassifier.ts"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  Level
} from "./QueryRouter/context.ts"

/**
 * Where a statement would go now, and why.
 *
 * @since 0.1.0
 * @category models
 */
export interface Explanation {
  readonly class: StatementClass
  /** Why the statement is in that class. */
  readonly reason: string
  /** `host:port/database`. */
  readonly node: string
  /** Why that node. */
  readonly decision: string
}

/**
 * How many statements went to a node for a reason, since the start.
 *
 * @since 0.1.0
 * @category models
 */
export interface Decisions {
  readonly node: string
  readonly reason: string
  readonly count: number
}

/**
 * The pool of one node, without the ways to run statements past the router.
 *
 * @since 0.1.0
 * @category models
 */
export type NodePool = Pick<ConnectionPool["Type"], "name" | "stats" | "holders" | "resize" | "reset">

/**
 * @since 0.1.0
 * @category tags
 */
export class QueryRouter extends Context.Tag("plinth/QueryRouter")<
  QueryRouter,
  {
    /** Where a statement of the current session would go now. Nothing is run. */
    readonly explain: (sql: string) => Effect.Effect<Explanation, DatabaseError>
    readonly decisions: Effect.Effect<ReadonlyArray<Decisions>>
    /**
     * What the current session has seen, as URL-safe text for a cookie, a header or a job. Waits for the monitor's next
     * sample after the session's last statement, normally a few milliseconds. None while the session has seen nothing,
     * and where a single node makes tokens needless.
     */
    readonly token: Effect.Effect<Option.Option<string>>
    /** The pools of the nodes, the configured primary's first: how they do, who holds their connections, their size. */
    readonly pools: Effect.Effect<ReadonlyArray<NodePool>>
    /**
     * Runs an effect as a session that has seen what the token says. A token that cannot be placed (malformed, of
     * another cluster, of the future) counts as "everything up to now", so it never relaxes anything.
     */
    readonly withToken: <A, E, R>(effect: Effect.Effect<A, E, R>, token: string) => Effect.Effect<A, E, R>
  }
>() {}

/**
 * @since 0.1.0
 * @category options
 */
export interface Options {
  readonly pool: PoolSettings
  readonly router: RouterSettings
  readonly client?: ClientOptions | undefined
  /** How values become JavaScript. @default as with node-postgres */
  readonly types?: TypeOptions | undefined
}

/**
 * The client over all nodes of the monitor; the first of them is the configured primary.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options
): Effect.Effect<
  Context.Context<Client.ClientServices | QueryRouter>,
  DatabaseError,
  Scope.Scope | NodeMonitor | Listener | Reactivity.Reactivity
> =>
  Effect.gen(function* () {
    const monitor = yield* NodeMonitor
    const listener = yield* Listener
    const { backend, service } = yield* makeBackend(monitor, listener, options)
    const services = yield* Client.make(backend, listener, options.client ?? {})
    return Context.add(services, QueryRouter, service)
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<Client.ClientServices | QueryRouter, DatabaseError, NodeMonitor | Listener> =>
  Layer.scopedContext(make(options)).pipe(Layer.provide(Reactivity.layer))

/**
 * @since 0.1.0
 * @category layers
 */
export const layerTest = (partial: Layer.PartialEffectful<QueryRouter["Type"]>): Layer.Layer<QueryRouter> =>
  Layer.mock(QueryRouter, partial)

/**
 * Runs an effect as a session of its own: its reads see its own writes, and what other sessions did binds it to
 * nothing. Without this all fibers of a client share one session.
 *
 * @since 0.1.0
 * @category combinators
 */
export const session = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => Effect.provideService(effect, CurrentSession, Option.some(new Sessions())))

/**
 * Sets what reads inside an effect must see: "strong" everything (the primary), "session" whatever the session has
 * seen, "eventual" whatever a healthy replica has.
 *
 * @since 0.1.0
 * @category combinators
 */
export const level =
  (value: Exclude<Level, "bounded">) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.provideService(effect, Routing, { level: value })

/**
 * Sends every statement of an effect to the primary.
 *
 * @since 0.1.0
 * @category combinators
 */
export const onPrimary: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = level("strong")

/**
 * Sends the reads of an effect to a replica, whatever the session has seen; the primary serves them only when there is
 * no healthy replica.
 *
 * @since 0.1.0
 * @category combinators
 */
export const onReplica: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R> = level("eventual")

/**
 * Lets the reads of an effect be served by a replica that is at most this much behind.
 *
 * @since 0.1.0
 * @category combinators
 */
export const maxStaleness =
  (staleness: Duration.DurationInput) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.provideService(effect, Routing, { level: "bounded", staleness })
