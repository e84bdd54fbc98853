/**
 * What the histograms of a pool's times say of a window, and how exactly.
 */
import type { TimeHistogram } from "../ConnectionPool.ts"

/** What happened between two readings. `max` cannot be subtracted: it stays that since the start. */
export const difference = (before: TimeHistogram, after: TimeHistogram): TimeHistogram => {
  const counted = new Map(before.buckets)
  return {
    count: after.count - before.count,
    sum: after.sum - before.sum,
    max: after.max,
    buckets: after.buckets.map(([bound, count]) => [bound, count - (counted.get(bound) ?? 0)] as const)
  }
}

/** A bucket with both of its bounds; the last has no upper one of its own. */
const bounded = (histogram: TimeHistogram) =>
  histogram.buckets.map(([bound, count], index) => {
    const lower = histogram.buckets[index - 1]?.[0] ?? 0
    return { lower, upper: Math.max(lower, Math.min(bound, histogram.max)), count }
  })

/** The time that a share does not exceed, linear within a bucket: as exact as the buckets are narrow. */
export const quantileMs = (histogram: TimeHistogram, share: number): number => {
  const buckets = bounded(histogram)
  const total = buckets.reduce((sum, { count }) => sum + count, 0)
  let rank = share * total
  for (const { count, lower, upper } of buckets) {
    if (count > 0 && rank <= count) return lower + (upper - lower) * (rank / count)
    rank -= count
  }
  return total === 0 ? 0 : histogram.max
}

/**
 * The squared coefficient of variation, times taken as evenly spread within their bucket (which adds w²/12); undefined
 * where nothing was measured.
 */
export const variationOf = (histogram: TimeHistogram): number | undefined => {
  const buckets = bounded(histogram)
  const total = buckets.reduce((sum, { count }) => sum + count, 0)
  if (total === 0) return undefined
  const moment = (of: (lower: number, upper: number) => number) =>
    buckets.reduce((sum, { count, lower, upper }) => sum + count * of(lower, upper), 0) / total
  const mean = moment((lower, upper) => (lower + upper) / 2)
  const square = moment((lower, upper) => (lower ** 2 + lower * upper + upper ** 2) / 3)
  return mean === 0 ? undefined : Math.max(0, square - mean ** 2) / mean ** 2
}
