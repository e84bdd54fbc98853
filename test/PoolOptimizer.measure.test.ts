import { assert, describe, it } from "@effect/vitest"
import { PoolOptimizer } from "effect-plinth"
import { Histogram } from "../src/internal/Histogram.ts"

/** A histogram of these times. */
const histogramOf = (times: ReadonlyArray<number>) => {
  const histogram = new Histogram()
  for (const time of times) histogram.record(time)
  return histogram.snapshot
}

const snapshotOf = (
  given: Partial<PoolOptimizer.PoolSnapshot> & {
    readonly use?: ReadonlyArray<number>
    readonly acquire?: ReadonlyArray<number>
  }
): PoolOptimizer.PoolSnapshot => ({
  acquired: given.acquired ?? 0,
  timeouts: given.timeouts ?? 0,
  refused: given.refused ?? 0,
  waiting: given.waiting ?? 0,
  lanes: given.lanes ?? 0,
  max: given.max ?? 10,
  times: {
    acquire: histogramOf(given.acquire ?? []),
    use: histogramOf(given.use ?? []),
    open: histogramOf([]),
    read: histogramOf([])
  }
})

describe("PoolOptimizer.measure", () => {
  const before = snapshotOf({ acquired: 100, timeouts: 5, use: [1000, 1000], acquire: [90] })
  const after = snapshotOf({
    acquired: 197,
    timeouts: 7,
    refused: 1,
    waiting: 4,
    use: [1000, 1000, ...Array.from({ length: 100 }, () => 15)],
    acquire: [90, ...Array.from({ length: 90 }, () => 0.5), ...Array.from({ length: 10 }, () => 30)]
  })
  const measured = PoolOptimizer.measure(before, after, "500 millis")

  it("counts what lies between the snapshots, and nothing of before", () => {
    assert.strictEqual(measured.arrivalsPerSecond, 200)
    assert.strictEqual(measured.errorShare, 0.03)
    assert.strictEqual(measured.use.meanMs, 15)
    assert.strictEqual(measured.waiting, 4)
  })

  it("takes time held over time passed for the mean number of busy connections", () => {
    assert.strictEqual(measured.busy, 3)
    assert.strictEqual(measured.utilisation, 0.3)
  })

  it("counts lanes as busy, and never more than there are", () => {
    assert.strictEqual(PoolOptimizer.measure(before, { ...after, lanes: 2 }, "500 millis").busy, 5)
    assert.strictEqual(PoolOptimizer.measure(before, { ...after, lanes: 9 }, "500 millis").busy, 10)
  })

  it("finds quantiles within the bucket that they lie in", () => {
    assert.isAtMost(measured.acquire.p50Ms, 1)
    assert.isAbove(measured.acquire.p95Ms, 16)
    assert.isAtMost(measured.acquire.p95Ms, 32)
  })

  it("does not mistake the endless last bucket for endless times", () => {
    const { use } = PoolOptimizer.measure(snapshotOf({}), snapshotOf({ use: [300_000, 300_000] }), 1000)
    assert.isAtMost(use.p99Ms, 300_000)
    assert.isAbove(use.p99Ms, 65_000)
  })

  it("tells constant use times from scattered ones", () => {
    const scattered = [...Array.from({ length: 90 }, () => 1), ...Array.from({ length: 10 }, () => 100)]
    const of = (use: ReadonlyArray<number>) =>
      PoolOptimizer.measure(snapshotOf({}), snapshotOf({ use }), 1000).use.variation
    assert.isBelow(measured.use.variation ?? NaN, 0.1)
    assert.isAbove(of(scattered) ?? NaN, 3)
    assert.isUndefined(of([]))
  })

  it("is all 0 and never NaN for a pool that did nothing", () => {
    const idle = PoolOptimizer.measure(after, after, 0)
    for (const figure of [
      idle.arrivalsPerSecond,
      idle.busy,
      idle.utilisation,
      idle.errorShare,
      idle.use.meanMs,
      idle.use.p99Ms
    ]) {
      assert.strictEqual(figure, 0)
    }
  })
})
