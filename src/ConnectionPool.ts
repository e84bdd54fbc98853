/**
 * One scoped pool of connections to one node.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberRef from "effect/FiberRef"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import { PCGRandom } from "effect/Utils"
import { forkBackground, makeFork } from "./internal/forkBackground.ts"
import { PoolCore } from "./ConnectionPool/Core.ts"
import { Lanes } from "./ConnectionPool/Lanes.ts"
import { close, wireDriver } from "./ConnectionPool/wireDriver.ts"
import type { CloseReason } from "./ConnectionPool/Core.ts"
import { currentHolder, fiberOf, holderInWords, spansOf } from "./ConnectionPool/holder.ts"
import type { Priority as PriorityClass } from "./ConnectionPool/WaitList.ts"
import type { TimeHistogram } from "./internal/Histogram.ts"
import { nodeName } from "./DatabaseConfig.ts"
import type { ConnectionTarget, PoolSettings } from "./DatabaseConfig.ts"
import type { DatabaseError } from "./DatabaseError.ts"
import { monotonicMillis } from "./internal/monotonicMillis.ts"
import type { Query, RunOptions, Step } from "./internal/pg/Exchange.ts"
import * as RetryPolicy from "./RetryPolicy.ts"
import { lease, reserve, run, startRead, use } from "./ConnectionPool/running.ts"
import type { Running } from "./ConnectionPool/running.ts"
import type { XactOutcome } from "./ConnectionPool/xactStatus.ts"
import type { Result } from "./internal/pg/Result.ts"
import type { TypeOptions } from "./internal/pg/typeParsers.ts"
import type { WireConnection } from "./internal/pg/WireConnection.ts"

export type {
  /**
   * @since 0.1.0
   * @category models
   */
  TimeHistogram,
  /**
   * @since 0.1.0
   * @category options
   */
  TypeOptions,
  /**
   * A statement as it goes to the server.
   *
   * @since 0.1.0
   * @category models
   */
  Query,
  /**
   * @since 0.1.0
   * @category models
   */
  Result,
  /**
   * @since 0.1.0
   * @category models
   */
  RunOptions,
  /**
   * @since 0.1.0
   * @category models
   */
  Step
}

/**
 * A connection while somebody holds it.
 *
 * @since 0.1.0
 * @category models
 */
export interface PooledConnection {
  /** The backend's process id. */
  readonly processId: number
  /** When it was opened, in the process' monotonic milliseconds. */
  readonly openedAt: number
  /** By the last answer: idle, in a transaction, in a failed transaction. */
  readonly status: "I" | "T" | "E"
  /**
   * Runs statements in one network write and one Sync: a failure skips the rest. Interruption cancels on the server and
   * waits until the server has stopped.
   */
  readonly run: (
    steps: ReadonlyArray<Step>,
    options?: RunOptions
  ) => Effect.Effect<ReadonlyArray<Result>, DatabaseError>
  /** Fails when the connection is lost, and waits until then. */
  readonly lost: Effect.Effect<never, DatabaseError>
}

/**
 * A connection and the way to give it back.
 *
 * @since 0.1.0
 * @category models
 */
export interface Lease {
  readonly connection: PooledConnection
  readonly release: Effect.Effect<void>
  /** Runs an effect once if the lease is older than so many milliseconds, at the pool's next look. */
  readonly remind: (after: number, reminder: (heldForMs: number) => Effect.Effect<void>) => void
  /** What became of a transaction of this lease whose COMMIT was not answered; none when nobody can tell. */
  readonly outcomeOf: (xid: string) => Effect.Effect<Option.Option<XactOutcome>>
}

/**
 * What `Effect.uninterruptibleMask` gives.
 *
 * @since 0.1.0
 * @category models
 */
export type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

/**
 * Whether a connection may be used, by when and to whom it was opened.
 *
 * @since 0.1.0
 * @category models
 */
export type Accepts = (connection: PooledConnection) => boolean

/**
 * A snapshot of a pool. Counters count from the start of the pool.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolStats {
  readonly total: number
  readonly idle: number
  readonly used: number
  readonly opening: number
  readonly waiting: number
  /** Of those used, how many are shared by short reads. */
  readonly lanes: number
  readonly min: number
  readonly max: number
  readonly opened: number
  readonly connectFailures: number
  readonly acquired: number
  /** Waited in vain. */
  readonly timeouts: number
  /** Were not let in, because the queue was full or too long for their deadline. */
  readonly refused: number
  /** Connections that came back inside an open transaction, which was then rolled back. */
  readonly leaks: number
  readonly closed: { readonly [reason in CloseReason]: number }
  readonly times: {
    /** To get a connection. */
    readonly acquire: TimeHistogram
    /** From getting one to giving it back. */
    readonly use: TimeHistogram
    /** To open one. */
    readonly open: TimeHistogram
    /** Of each statement on a shared connection, as the server took one after the other. */
    readonly read: TimeHistogram
  }
}

/**
 * Who has a connection now.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolHolder {
  /** The backend's process id. */
  readonly processId: number
  readonly heldFor: Duration.Duration
  /** `#12`, or `the pool` for its own work. */
  readonly fiber: string
  /** Names of the fiber's spans, the innermost first. */
  readonly spans: ReadonlyArray<string>
}

/**
 * How urgent the statements of an effect are when connections are short: of ten connections that are handed to waiters
 * while all three classes wait, "high" gets six, "normal" three and "low" one.
 *
 * @example
 * import { ConnectionPool } from "effect-plinth"
 * import * as Effect from "effect/Effect"
 *
 * const report = Effect.provideService(Effect.void, ConnectionPool.Priority, "low")
 *
 * @since 0.1.0
 * @category references
 */
export class Priority extends Context.Reference<Priority>()("plinth/ConnectionPool/Priority", {
  defaultValue: (): PriorityClass => "normal"
}) {}

/**
 * A pool of connections to one node.
 *
 * @since 0.1.0
 * @category tags
 */
export class ConnectionPool extends Context.Tag("plinth/ConnectionPool")<
  ConnectionPool,
  {
    readonly target: ConnectionTarget
    /** Whether a session stays the same one for as long as its connection; behind a transaction pooler it does not. */
    readonly keepsSessions: boolean
    /** `host:port/database`. */
    readonly name: string
    /** Runs statements in one exchange on a connection of the pool's choice. */
    readonly run: PooledConnection["run"]
    /**
     * Runs one statement that only reads, as its own transaction. Statements that were measured to be short share a
     * few connections; interruption does not cancel those, it only stops waiting.
     */
    readonly read: (query: Query) => Effect.Effect<ReadonlyArray<Result>, DatabaseError>
    /** `read` on a connection that is accepted; none when the one at hand was not. */
    readonly readIf: (
      accepts: Accepts,
      query: Query
    ) => Effect.Effect<Option.Option<ReadonlyArray<Result>>, DatabaseError>
    /** Holds a connection while `f` runs. */
    readonly use: <A, E, R>(
      f: (connection: PooledConnection) => Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | DatabaseError, R>
    /** Takes a connection, inside an uninterruptible region of which `restore` is the way out. */
    readonly lease: (restore: Restore) => Effect.Effect<Lease, DatabaseError>
    /** Holds a connection until the scope closes. */
    readonly reserve: Effect.Effect<PooledConnection, DatabaseError, Scope.Scope>
    readonly stats: Effect.Effect<PoolStats>
    /** Who holds connections now, the longest first; shared ones are nobody's. */
    readonly holders: Effect.Effect<ReadonlyArray<PoolHolder>>
    /**
     * Replaces all connections, as after a change that only new sessions see: the idle ones now, those in use when they
     * come back.
     */
    readonly reset: Effect.Effect<void>
    /** Changes the bounds at run time; shrinking closes idle connections now and used ones when they come back. */
    readonly resize: (size: { readonly min: number; readonly max: number }) => Effect.Effect<void>
    /**
     * Tells the pool what is known of its node. "down" drops every connection at once, and what runs on them fails as
     * lost instead of waiting for a dead server; "up" ends the backoff between attempts to connect.
     */
    readonly nodeIs: (state: "up" | "down") => Effect.Effect<void>
  }
>() {}

export {
  /**
   * A snapshot of the statistics now, and one whenever the interval has passed.
   *
   * @since 0.1.0
   * @category observation
   */
  changes,
  /**
   * Keeps metrics of a pool up to date until the scope closes, under OpenTelemetry's names.
   *
   * @since 0.1.0
   * @category observation
   */
  publish
} from "./ConnectionPool/observe.ts"

/**
 * @since 0.1.0
 * @category options
 */
export interface PoolOptions {
  readonly target: ConnectionTarget
  readonly settings: PoolSettings
  /** Runs once on every new connection before anybody gets it; its failure closes the connection. It has `connectTimeout`. */
  readonly onOpen?: ((connection: PooledConnection) => Effect.Effect<void, DatabaseError>) | undefined
  /**
   * Build the pool although its server cannot be reached now.
   *
   * @default false
   */
  readonly lazy?: boolean | undefined
  /** How values become JavaScript. @default as with node-postgres */
  readonly types?: TypeOptions | undefined
}

/** One connection in this many may become a lane, so that small pools have none and most connections stay free. */
const connectionsPerLane = 4

/** How often idle time, lifetime and the minimum are looked at. */
const maintenanceInterval = "1 second"

/**
 * Opens a pool. Unless `lazy`, the first connection is opened before this returns, and its failure is this effect's.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: PoolOptions): Effect.Effect<ConnectionPool["Type"], DatabaseError, Scope.Scope> =>
  Effect.gen(function* () {
    const { settings, target } = options
    const name = nodeName(target)
    const clock = yield* Effect.clock
    const jitter = new PCGRandom(yield* Random.nextInt)
    // Outlives everything that closing the pool still has to do.
    const fork = yield* makeFork()
    let size = { min: settings.min, max: settings.max }

    const driver = wireDriver(options)
    const now = () => monotonicMillis(clock)
    const core = new PoolCore<WireConnection>(
      {
        ...size,
        maxWaiting: settings.maxWaiting,
        acquireTimeout: Duration.toMillis(settings.acquireTimeout),
        idleTimeout: Duration.toMillis(settings.idleTimeout),
        maxLifetime: Duration.toMillis(settings.maxLifetime),
        validateAfter: Duration.toMillis(settings.validateAfter),
        leakAfter: Duration.toMillis(settings.leakAfter),
        connectConcurrency: settings.connectConcurrency
      },
      driver,
      {
        name,
        now,
        random: () => jitter.number(),
        fork,
        priority: () => {
          const fiber = currentHolder()
          return fiber === undefined ? "normal" : Context.get(fiber.getFiberRef(FiberRef.currentContext), Priority)
        },
        onLongHeld: ({ connection, holder }, ms) =>
          fork(
            Effect.logWarning(
              `a connection of ${name} (backend ${connection.processId}) has been held for ${Math.round(ms / 1000)} s by ${holderInWords(holder)}; ` +
                "if that is not a long transaction, somebody has forgotten to give it back"
            )
          )
      }
    )

    const lanesOf = (max: number) => (settings.pooler === "none" ? Math.floor(max / connectionsPerLane) : 0)
    const lanes = new Lanes(core, {
      max: lanesOf(settings.max),
      now,
      fork
    })
    const running: Running = { core, lanes, now, pooler: settings.pooler }
    yield* Effect.addFinalizer(() => {
      lanes.close()
      return close(core, settings.closeTimeout)
    })
    // Not by a checkout: how long a statement may wait for a connection says nothing of how long the first may take.
    if (options.lazy !== true) {
      const starting = {
        schedule: RetryPolicy.connect,
        while: (error: DatabaseError) => error.reason === "CannotConnectNow"
      }
      const [took, connection] = yield* Effect.timed(Effect.retry(driver.open, starting))
      core.openTimes.record(Duration.toMillis(took))
      core.adopt(connection)
    }
    yield* Effect.sync(() => {
      core.maintain()
      lanes.maintain()
    }).pipe(Effect.schedule(Schedule.spaced(maintenanceInterval)), forkBackground)

    return {
      target,
      keepsSessions: settings.pooler === "none",
      name,
      run: run(running),
      read: (query) =>
        Effect.async((resume) => {
          const abandon = startRead(running, query, undefined, (answer) => {
            if (answer !== "refused") resume(answer)
          })
          return Effect.suspend(abandon)
        }),
      readIf: (accepts, query) =>
        Effect.async((resume) => {
          const abandon = startRead(running, query, accepts, (answer) =>
            resume(answer === "refused" ? Effect.succeedNone : Exit.map(answer, Option.some))
          )
          return Effect.suspend(abandon)
        }),
      lease: (restore) => lease(running, restore),
      use: (f) => use(running, f),
      reserve: reserve(running),
      stats: Effect.sync(() => ({
        ...core.size,
        lanes: lanes.size,
        ...size,
        ...core.counters,
        closed: { ...core.counters.closed },
        times: {
          acquire: core.times.acquire.snapshot,
          use: core.times.use.snapshot,
          open: core.openTimes.snapshot,
          read: lanes.times.snapshot
        }
      })),
      holders: Effect.sync(() =>
        [...core.holders]
          .sort((a, b) => a.since - b.since)
          .map(({ connection, holder, since }) => ({
            processId: connection.processId,
            heldFor: Duration.millis(now() - since),
            fiber: fiberOf(holder),
            spans: spansOf(holder)
          }))
      ),
      reset: Effect.sync(() => {
        core.replaceAll()
        lanes.reset()
      }),
      resize: (next) =>
        Effect.sync(() => {
          size = next
          lanes.resize(lanesOf(next.max))
          core.resize(next)
        }),
      nodeIs: (state) => Effect.sync(() => (state === "up" ? core.retryNow() : core.evict("lost")))
    }
  })

/**
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: PoolOptions): Layer.Layer<ConnectionPool, DatabaseError> =>
  Layer.scoped(ConnectionPool, make(options))

/**
 * A pool of which only the given members exist.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerTest = (partial: Layer.PartialEffectful<ConnectionPool["Type"]>): Layer.Layer<ConnectionPool> =>
  Layer.mock(ConnectionPool, partial)
