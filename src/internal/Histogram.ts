/**
 * Durations in buckets whose bounds double, cheap enough to note every one.
 */

/**
 * How long something took, every time since the start.
 *
 * @since 0.1.0
 * @category models
 */
export interface TimeHistogram {
  readonly count: number
  /** Milliseconds, as all of it. */
  readonly sum: number
  readonly max: number
  /** Upper bound of each bucket, the last one infinite, and how many were in that bucket alone. */
  readonly buckets: ReadonlyArray<readonly [upperBound: number, count: number]>
}

/** 1/16 ms, 1/8 ms .. 64 s: twenty-one doublings, and one bucket above them. */
const firstBound = 1 / 16
const bounds = [...Array.from({ length: 21 }, (_, i) => firstBound * 2 ** i), Number.POSITIVE_INFINITY]

export class Histogram {
  count = 0
  private sum = 0
  private max = 0
  private readonly counts = new Array<number>(bounds.length).fill(0)

  /** Notes a duration in milliseconds. */
  record(ms: number): void {
    this.count++
    this.sum += ms
    if (ms > this.max) this.max = ms
    // The exponent of the smallest bound that is no less. Held below 32 bits, which three days are more than.
    const units = Math.min(Math.ceil(ms / firstBound), 2 ** 31)
    const index = ms <= firstBound ? 0 : Math.min(32 - Math.clz32(units - 1), bounds.length - 1)
    this.counts[index] = (this.counts[index] ?? 0) + 1
  }

  get snapshot(): TimeHistogram {
    const { count, max, sum } = this
    return { count, sum, max, buckets: bounds.map((bound, index) => [bound, this.counts[index] ?? 0] as const) }
  }
}
