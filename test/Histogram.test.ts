import { assert, describe, it } from "@effect/vitest"
import { Histogram } from "../src/internal/Histogram.ts"

/** The upper bound of the only bucket that counts this duration. */
const boundOf = (ms: number): number => {
  const histogram = new Histogram()
  histogram.record(ms)
  const counted = histogram.snapshot.buckets.filter(([, count]) => count > 0)
  assert.strictEqual(counted.length, 1)
  return counted[0]?.[0] ?? NaN
}

describe("a histogram of durations", () => {
  it("counts a duration in the bucket of the smallest bound that is no less", () => {
    assert.deepStrictEqual([0, 1 / 16, 0.07, 1, 1.01, 65_536].map(boundOf), [1 / 16, 1 / 16, 1 / 8, 1, 2, 65_536])
  })

  it("counts durations of days above all bounds", () => {
    assert.deepStrictEqual([65_537, 2 ** 28, 2 ** 28 + 1, 1e12].map(boundOf), [Infinity, Infinity, Infinity, Infinity])
  })
})
