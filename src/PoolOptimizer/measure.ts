/**
 * What a pool did within a window: the difference of two snapshots.
 */
import * as Duration from "effect/Duration"
import type { PoolStats, TimeHistogram } from "../ConnectionPool.ts"
import { difference, quantileMs, variationOf } from "./histogram.ts"

/**
 * What is read of a pool's statistics.
 *
 * @since 0.1.0
 * @category models
 */
export type PoolSnapshot = Pick<PoolStats, "acquired" | "timeouts" | "refused" | "waiting" | "lanes" | "max" | "times">

/**
 * Times of a window. All 0 where nothing was measured.
 *
 * @since 0.1.0
 * @category models
 */
export interface MeasuredTimes {
  readonly count: number
  readonly meanMs: number
  readonly p50Ms: number
  readonly p95Ms: number
  readonly p99Ms: number
  /** Squared coefficient of variation; absent where nothing was measured. */
  readonly variation: number | undefined
}

/**
 * @since 0.1.0
 * @category models
 */
export interface Measurement {
  readonly elapsedMs: number
  /** Checkouts that were asked for. */
  readonly arrivalsPerSecond: number
  /** Reads that shared a connection. */
  readonly readsPerSecond: number
  /** Getting a connection. */
  readonly acquire: MeasuredTimes
  /** Holding one. */
  readonly use: MeasuredTimes
  /** Connecting. */
  readonly open: MeasuredTimes
  /** Service of reads that share connections. */
  readonly read: MeasuredTimes
  /** Connections that were held on average, by Little's law; those that reads share at the end included. */
  readonly busy: number
  /** `busy` of the pool's maximum. */
  readonly utilisation: number
  /** Checkouts that timed out or were refused, of all that ended with or without a connection. */
  readonly errorShare: number
  /** How many waited at the end. */
  readonly waiting: number
  readonly max: number
}

/**
 * What happened between two snapshots of one pool. Times belong to the window in which they ended: one much shorter than
 * the uses in it measures badly.
 *
 * @since 0.1.0
 * @category measuring
 */
export const measure = (before: PoolSnapshot, after: PoolSnapshot, elapsed: Duration.DurationInput): Measurement => {
  const elapsedMs = Math.max(Duration.toMillis(elapsed), Number.EPSILON)
  const perSecond = (count: number) => (1000 * count) / elapsedMs
  const times = (of: (times: PoolSnapshot["times"]) => TimeHistogram) => difference(of(before.times), of(after.times))
  const use = times(({ use }) => use)
  const read = times(({ read }) => read)
  const acquired = after.acquired - before.acquired
  const failed = after.timeouts - before.timeouts + after.refused - before.refused
  const asked = acquired + failed
  const busy = Math.min(use.sum / elapsedMs + after.lanes, after.max)
  return {
    elapsedMs,
    arrivalsPerSecond: perSecond(asked),
    readsPerSecond: perSecond(read.count),
    acquire: measured(times(({ acquire }) => acquire)),
    use: measured(use),
    open: measured(times(({ open }) => open)),
    read: measured(read),
    busy,
    utilisation: busy / Math.max(1, after.max),
    errorShare: asked === 0 ? 0 : failed / asked,
    waiting: after.waiting,
    max: after.max
  }
}

const measured = (histogram: TimeHistogram): MeasuredTimes => ({
  count: histogram.count,
  meanMs: histogram.count === 0 ? 0 : histogram.sum / histogram.count,
  p50Ms: quantileMs(histogram, 0.5),
  p95Ms: quantileMs(histogram, 0.95),
  p99Ms: quantileMs(histogram, 0.99),
  variation: variationOf(histogram)
})
