/**
 * What a pool of a size would do under a workload: the figures of a simulation.
 */
import * as Duration from "effect/Duration"
import type { Arrivals, UseTime } from "./Simulation.ts"
import { Simulation } from "./Simulation.ts"

/**
 * How long a unit of work holds a connection: by an exponential distribution, always the same, or by a lognormal one,
 * whose tail is that of real workloads.
 *
 * @since 0.1.0
 * @category models
 */
export type UseDistribution = "exponential" | "constant" | "lognormal"

/**
 * @since 0.1.0
 * @category options
 */
export interface SimulateOptions {
  /** How many units of work arrive in a second, at random (Poisson); or when each arrives, in ms from the start. */
  readonly arrivals: number | ReadonlyArray<number>
  /** How long each holds a connection on average. */
  readonly use: Duration.DurationInput
  readonly connections: number
  /** @default "exponential" */
  readonly distribution?: UseDistribution | undefined
  /**
   * Squared coefficient of variation of a lognormal use time. 4: the deviation is twice the mean.
   *
   * @default 4
   */
  readonly variation?: number | undefined
  /**
   * How long work arrives, after a tenth as much that is not counted, in which the pool fills. A recorded list is as long
   * as it is and counts from its beginning.
   *
   * @default "60 seconds"
   */
  readonly duration?: Duration.DurationInput | undefined
  /** Who waits for longer goes away. @default "10 seconds", as the pool's own */
  readonly acquireTimeout?: Duration.DurationInput | undefined
  /**
   * With more connections busy than this, each use takes proportionally longer.
   *
   * @default none: the server is never the bottleneck
   */
  readonly cores?: number | undefined
  /** The same seed gives the same figures. @default 1 */
  readonly seed?: number | undefined
}

/**
 * Of a number of times.
 *
 * @since 0.1.0
 * @category models
 */
export interface TimeFigures {
  readonly meanMs: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

/**
 * @since 0.1.0
 * @category models
 */
export interface SimulationResult {
  readonly connections: number
  /** Units of work that were counted. */
  readonly arrivals: number
  readonly served: number
  /** Those that went away without a connection. */
  readonly timeouts: number
  /** Share of those served that had to wait at all. */
  readonly waitedShare: number
  /** From the arrival to the connection, of those served. */
  readonly wait: TimeFigures
  /** From the arrival to the end, of those served. */
  readonly response: TimeFigures
  /** Mean share of the connections that are busy. */
  readonly utilisation: number
  readonly longestQueue: number
}

/**
 * The squared coefficient of variation of a distribution.
 *
 * @since 0.1.0
 * @category conversions
 */
export const variationOf = (options: Pick<SimulateOptions, "distribution" | "variation">): number => {
  switch (options.distribution ?? "exponential") {
    case "exponential":
      return 1
    case "constant":
      return 0
    case "lognormal":
      return options.variation ?? 4
  }
}

/**
 * Simulates a pool. Checked against Erlang C and Pollaczek-Khinchine.
 *
 * @since 0.1.0
 * @category simulation
 */
export const simulate = (options: SimulateOptions): SimulationResult => {
  const arrivals: Arrivals =
    typeof options.arrivals === "number"
      ? { _tag: "Poisson", perSecond: options.arrivals }
      : { _tag: "Recorded", atMs: [...options.arrivals].sort((a, b) => a - b) }
  const warmUp = arrivals._tag === "Recorded" ? 0 : durationMs(options) / 10
  const end = arrivals._tag === "Recorded" ? (arrivals.atMs.at(-1) ?? 0) : warmUp + durationMs(options)

  const waits: Array<number> = []
  const responses: Array<number> = []
  let counting = false
  let timeouts = 0
  const simulation = new Simulation(
    {
      arrivals,
      use: useOf(options),
      connections: options.connections,
      acquireTimeout: Duration.toMillis(options.acquireTimeout ?? "10 seconds"),
      cores: options.cores,
      seed: options.seed ?? 1
    },
    {
      onStart: (waited, use) => {
        if (!counting) return
        waits.push(waited)
        responses.push(waited + use)
      },
      onEnd: () => {},
      onTimeout: () => {
        if (counting) timeouts++
      }
    }
  )
  // A recorded list has none, and its first arrival may be at 0.
  if (warmUp > 0) simulation.advance(warmUp)
  counting = true
  simulation.longestQueue = 0
  const busyBefore = simulation.busyMs
  simulation.advance(end)
  const utilisation =
    (simulation.busyMs - busyBefore) / (Math.max(end - warmUp, Number.MIN_VALUE) * options.connections)
  // Who waits now has arrived, and how long it waits belongs to the answer.
  simulation.drain()
  return {
    connections: options.connections,
    arrivals: waits.length + timeouts,
    served: waits.length,
    timeouts,
    waitedShare: waits.length === 0 ? 0 : waits.filter((waited) => waited > 0).length / waits.length,
    wait: figures(waits),
    response: figures(responses),
    utilisation,
    longestQueue: simulation.longestQueue
  }
}

const durationMs = (options: SimulateOptions): number => Duration.toMillis(options.duration ?? "60 seconds")

const useOf = (options: SimulateOptions): UseTime => {
  const meanMs = Duration.toMillis(options.use)
  switch (options.distribution ?? "exponential") {
    case "exponential":
      return { _tag: "Exponential", meanMs }
    case "constant":
      return { _tag: "Constant", meanMs }
    case "lognormal":
      return { _tag: "Lognormal", meanMs, variation: variationOf(options) }
  }
}

const figures = (times: ReadonlyArray<number>): TimeFigures => {
  const sorted = Float64Array.from(times).sort()
  // The smallest time that the share does not exceed (nearest rank).
  const quantile = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
  return {
    meanMs: sorted.length === 0 ? 0 : sorted.reduce((sum, time) => sum + time, 0) / sorted.length,
    p50Ms: quantile(0.5),
    p95Ms: quantile(0.95),
    p99Ms: quantile(0.99),
    maxMs: sorted.at(-1) ?? 0
  }
}
