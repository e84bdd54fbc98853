import { assert, describe, it } from "@effect/vitest"
import { PoolOptimizer } from "effect-plinth"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/TestClock"
import type { Window } from "../src/PoolOptimizer/gradient.ts"
import { sizeOf, start, step } from "../src/PoolOptimizer/gradient.ts"
import type { SimulationOptions } from "../src/PoolOptimizer/Simulation.ts"
import { simulatedPool } from "./support/simulatedPool.ts"

const bounds = { min: 2, max: 50 }

/** A full window of a pool of this size. */
const full = (busy: number, meanMs: number): Window => ({ samples: 500, meanMs, busy, hadWaiters: true })

/** Runs windows that depend on the size, and gives the size after each. */
const sizesAfter = (windows: number, from: number, window: (size: number) => Window) => {
  let state = start(from)
  return Array.from({ length: windows }, () => {
    state = step(state, window(sizeOf(state, bounds)), bounds).state
    return sizeOf(state, bounds)
  })
}

describe("a step of the gradient", () => {
  it("grows a full pool whose latency stays the same, a fifth of a connection at a time", () => {
    const { state, verdict } = step(start(10), full(10, 5), bounds)
    assert.strictEqual(verdict, "grown")
    assert.closeTo(state.limit, 10.2, 1e-9)
  })

  it("shrinks by a tenth at most, however bad the latency is", () => {
    let state = start(40)
    for (let window = 0; window < 20; window++) state = step(state, full(40, 5), bounds).state
    const { state: worse, verdict } = step(state, full(40, 5000), bounds)
    assert.strictEqual(verdict, "shrunk")
    assert.isAtLeast(worse.limit, state.limit * 0.9)
  })

  it("moves nothing on a pool that is less than half busy or has hardly any uses", () => {
    for (const window of [
      { ...full(4, 5), hadWaiters: false },
      { ...full(10, 5), samples: 10 }
    ]) {
      assert.deepInclude(step(start(10), window, bounds), { verdict: "quiet" })
      assert.strictEqual(step(start(10), window, bounds).state.limit, 10)
    }
  })

  it("does not grow a pool that has connections to spare", () => {
    const window = { ...full(6, 5), hadWaiters: false }
    assert.deepInclude(step(start(10), window, bounds), { verdict: "enough" })
  })

  it("stays within its bounds", () => {
    assert.strictEqual(Math.max(...sizesAfter(500, 45, (size) => full(size, 5))), 50)
    assert.strictEqual(Math.min(...sizesAfter(100, 5, (size) => full(size, size === 5 ? 5 : 5 + 1000 / size))), 2)
  })

  it("does not take the latency of too many connections for normal, however long it lasts", () => {
    const sizes = sizesAfter(5000, 4, (size) => full(size, 5 * Math.max(1, size / 10)))
    assert.isAtMost(Math.max(...sizes.slice(1000)), 15)
  })

  it("comes down to the knee from a size that never saw a low latency", () => {
    const sizes = sizesAfter(1500, 48, (size) => full(size, 5 * Math.max(1, size / 10)))
    assert.isAtMost(Math.max(...sizes.slice(-200)), 16)
  })

  it("comes back when all work has become slower for good", () => {
    for (const slower of [1.4, 2, 4]) {
      let windows = 0
      const latency = (size: number) => (windows++ < 500 ? 5 : 5 * slower) * Math.max(1, size / 10)
      const last = sizesAfter(2000, 10, (size) => full(size, latency(size))).slice(-200)
      assert.isAtLeast(median(last), 10, `${slower} times`)
      assert.isAtMost(Math.max(...last), 16, `${slower} times`)
    }
  })
})

/** Runs a pool with `auto` for a number of windows, and gives its size after each. */
const run = (
  options: Partial<SimulationOptions> & { readonly perSecond: number; readonly from: number; readonly windows: number },
  auto: PoolOptimizer.AutoOptions = { max: 40 }
) =>
  Effect.gen(function* () {
    const pool = simulatedPool({
      arrivals: { _tag: "Poisson", perSecond: options.perSecond },
      use: options.use ?? { _tag: "Exponential", meanMs: 50 },
      connections: options.from,
      acquireTimeout: 1000,
      cores: options.cores,
      seed: 1,
      min: 2
    })
    const max = Effect.map(pool.stats, (stats) => stats.max)
    const after = yield* Effect.gen(function* () {
      const { status } = yield* PoolOptimizer.watch(pool, auto)
      const sizes = yield* Effect.replicateEffect(Effect.zipRight(TestClock.adjust("5 seconds"), max), options.windows)
      return { sizes, status: yield* status }
    }).pipe(Effect.scoped)
    return { ...after, resizes: pool.sizes, pool }
  })

const median = (values: ReadonlyArray<number>) => [...values].sort((a, b) => a - b)[values.length >> 1] ?? NaN

const mean = (values: ReadonlyArray<number>) => values.reduce((sum, value) => sum + value, 0) / values.length

describe("PoolOptimizer.auto", () => {
  for (const from of [3, 30]) {
    it.effect(`finds the knee of a server that is overloaded, from a pool of ${from}`, () =>
      Effect.gen(function* () {
        const { sizes } = yield* run({ perSecond: 220, cores: 8, from, windows: 80 }, { max: 40, probeEvery: 12 })
        const last = sizes.slice(-20)
        assert.isAtLeast(mean(last), 8)
        assert.isAtMost(mean(last), 13)
        assert.isAtMost(Math.max(...last), 16)
      })
    )
  }

  it.effect("grows to its bound and no further on a server that does not slow down", () =>
    Effect.gen(function* () {
      const { resizes, sizes } = yield* run({ perSecond: 600, from: 4, windows: 45 }, { max: 12 })
      assert.strictEqual(sizes.at(-1), 12)
      assert.strictEqual(Math.max(...resizes), 12)
    })
  )

  it.effect("never moves a quiet pool, nor one that has enough", () =>
    Effect.gen(function* () {
      for (const perSecond of [0.5, 20, 100]) {
        const { resizes } = yield* run({ perSecond, from: 10, windows: 10 })
        assert.deepStrictEqual(resizes, [])
      }
    })
  )

  it.effect("moves by one connection at a time but for the looks below, and not more often than it looks", () =>
    Effect.gen(function* () {
      const { resizes } = yield* run({ perSecond: 220, cores: 8, from: 3, windows: 30 })
      assert.deepStrictEqual(
        resizes,
        resizes.map((_, index) => 4 + index)
      )
      assert.isAbove(resizes.length, 2)
      assert.isAtMost(resizes.length, 6)
    })
  )

  it.effect("brings a pool that is beyond its bound within it at once", () =>
    Effect.gen(function* () {
      const { resizes, status } = yield* run({ perSecond: 1, from: 30, windows: 1 }, { max: 20 })
      assert.deepStrictEqual(resizes, [20])
      assert.deepInclude(status, { max: 20, verdict: "quiet" })
    })
  )

  it.effect("takes over a size that somebody else sets", () =>
    Effect.gen(function* () {
      const pool = simulatedPool({
        arrivals: { _tag: "Poisson", perSecond: 220 },
        use: { _tag: "Constant", meanMs: 50 },
        connections: 4,
        acquireTimeout: 1000,
        cores: undefined,
        seed: 1,
        min: 2
      })
      yield* Effect.gen(function* () {
        const { status } = yield* PoolOptimizer.watch(pool, { max: 40 })
        yield* TestClock.adjust("5 seconds")
        yield* pool.resize({ min: 2, max: 9 })
        yield* TestClock.adjust("5 seconds")
        const { gradient, max } = yield* status
        assert.deepStrictEqual([max, gradient.limit], [9, 9])
      }).pipe(Effect.scoped)
    })
  )

  it.effect("stops with its scope", () =>
    Effect.gen(function* () {
      const { pool, resizes } = yield* run({ perSecond: 600, from: 4, windows: 5 })
      const before = resizes.length
      yield* TestClock.adjust("10 minutes")
      yield* pool.stats
      assert.strictEqual(resizes.length, before)
    })
  )
})
