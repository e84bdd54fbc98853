/**
 * What is read of a pool's statistics.
 */
import type { PoolStats } from "../ConnectionPool.ts"

/**
 * How often something took how long. Counts are of one bucket each, and of all since the start of the pool.
 *
 * @since 0.1.0
 * @category models
 */
export interface TimeHistogram {
  readonly count: number
  /** Milliseconds. */
  readonly sum: number
  /** Milliseconds. */
  readonly max: number
  readonly buckets: ReadonlyArray<readonly [upperBoundMs: number, count: number]>
}

/**
 * The statistics of a pool at a moment.
 *
 * @since 0.1.0
 * @category models
 */
export interface PoolSnapshot extends Pick<PoolStats, "acquired" | "timeouts" | "waiting" | "lanes" | "max"> {
  readonly times: {
    readonly acquire: TimeHistogram
    readonly use: TimeHistogram
    readonly open: TimeHistogram
    readonly read: TimeHistogram
  }
}
