/**
 * Moves the maximum of a pool to where its server does best, slowly and within bounds.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import { forkBackground } from "../internal/forkBackground.ts"
import { ConnectionPool } from "../ConnectionPool.ts"
import type { PoolStats } from "../ConnectionPool.ts"
import type { GradientOptions, GradientState, Verdict } from "./gradient.ts"
import { sizeOf, start, step } from "./gradient.ts"
import type { Measurement } from "./measure.ts"
import { measure } from "./measure.ts"

/**
 * @since 0.1.0
 * @category options
 */
export interface AutoOptions extends Omit<GradientOptions, "min"> {
  /**
   * The most connections that it may be: what `max_connections` leaves to this process, `figures.boundPerProcess` of the
   * advice.
   */
  readonly max: number
  /**
   * The least that the maximum may be. The pool's own minimum is lowered to the maximum where that is less.
   *
   * @default the pool's minimum, and 2 at least
   */
  readonly min?: number | undefined
  /**
   * How often it looks. It moves by a fifth of a connection at most upwards, and a tenth of the pool downwards.
   *
   * @default "5 seconds"
   */
  readonly window?: Duration.DurationInput | undefined
}

/**
 * What the search has come to.
 *
 * @since 0.1.0
 * @category models
 */
export interface AutoStatus {
  readonly max: number
  readonly gradient: GradientState
  /** Of the last window; absent before the first has ended. */
  readonly verdict?: Verdict | undefined
  readonly measurement?: Measurement | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Auto {
  readonly status: Effect.Effect<AutoStatus>
}

/**
 * What is needed of a pool.
 *
 * @since 0.1.0
 * @category models
 */
export type WatchedPool = Pick<ConnectionPool["Type"], "name" | "stats" | "resize">

/**
 * Watches the pool until the scope closes. Latency is the time that connections are held: waiting for one is the pool's
 * doing and says nothing of the server. Reads that share a connection do not count, they queue elsewhere.
 *
 * A size that somebody else sets by `resize` is taken over.
 *
 * @since 0.1.0
 * @category optimization
 */
export const auto = (options: AutoOptions): Effect.Effect<Auto, never, ConnectionPool | Scope.Scope> =>
  Effect.flatMap(ConnectionPool, (pool) => watch(pool, options))

/**
 * {@link auto} for a pool that is at hand as a value.
 *
 * @since 0.1.0
 * @category optimization
 */
export const watch = (pool: WatchedPool, options: AutoOptions): Effect.Effect<Auto, never, Scope.Scope> =>
  Effect.gen(function* () {
    const window = Duration.decode(options.window ?? "5 seconds")
    const first = yield* pool.stats
    const poolMin = first.min
    const greatest = Math.max(1, Math.floor(options.max))
    const bounds: GradientOptions = {
      ...options,
      // A pool of none would let nobody go on.
      max: greatest,
      min: Math.min(greatest, Math.max(1, options.min ?? Math.max(2, poolMin)))
    }
    const begin = start(Math.min(bounds.max, Math.max(bounds.min, first.max)))
    const status = yield* Ref.make<AutoStatus>({ max: first.max, gradient: begin })

    const apply = (max: number, now: number) =>
      max === now ? Effect.void : pool.resize({ min: Math.min(poolMin, max), max })

    const look = Effect.fnUntraced(function* (before: Reading) {
      yield* Effect.sleep(window)
      const after = yield* reading(pool)
      const last = yield* Ref.get(status)
      const measurement = measure(before.stats, after.stats, Duration.nanos(after.nanos - before.nanos))
      const isResized = after.stats.max !== last.max
      const result = isResized
        ? { state: { ...last.gradient, limit: after.stats.max, isProbing: false }, verdict: "held" as const }
        : step(last.gradient, seen(measurement), bounds)
      const max = sizeOf(result.state, bounds)
      yield* apply(max, after.stats.max)
      yield* Ref.set(status, { max, gradient: result.state, verdict: result.verdict, measurement })
      if (max !== after.stats.max) {
        yield* Effect.logInfo(
          `the pool of ${pool.name} may now have ${max} connections (${result.verdict}), it had ${after.stats.max}`
        )
      }
      return after
    })

    const size = sizeOf(begin, bounds)
    yield* apply(size, first.max)
    yield* Ref.update(status, (last) => ({ ...last, max: size }))
    yield* forkBackground(Effect.iterate(yield* reading(pool), { while: () => true, body: look }))
    return { status: Ref.get(status) }
  })

/**
 * {@link auto} beside a pool, for as long as that is there.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerAuto = (options: AutoOptions): Layer.Layer<never, never, ConnectionPool> =>
  Layer.scopedDiscard(auto(options))

/** The statistics, and when they were read. */
interface Reading {
  readonly stats: PoolStats
  readonly nanos: bigint
}

const reading = (pool: WatchedPool): Effect.Effect<Reading> =>
  Effect.all({ stats: pool.stats, nanos: Clock.currentTimeNanos })

const seen = (measurement: Measurement) => ({
  samples: measurement.use.count,
  meanMs: measurement.use.meanMs,
  busy: measurement.busy,
  hadWaiters: measurement.waiting > 0 || measurement.errorShare > 0
})
