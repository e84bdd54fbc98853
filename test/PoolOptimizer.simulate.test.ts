import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { meanWaitMs, waitingProbability, waitQuantileMs } from "../src/PoolOptimizer/queueing.ts"
import { simulate } from "../src/PoolOptimizer/simulate.ts"

/** Within a share of what is expected. */
const near = (actual: number, expected: number, share: number, message: string): void =>
  assert.closeTo(actual, expected, expected * share, message)

describe("the simulation of a pool", () => {
  it("waits as Erlang C says, for exponential use times", () => {
    for (const [arrivals, connections] of [
      [70, 1],
      [240, 3],
      [750, 10]
    ] as const) {
      const queue = { load: arrivals / 100, connections, useMs: 10, variation: 1 }
      const result = simulate({ arrivals, use: 10, connections, duration: 150_000_000 / arrivals, acquireTimeout: 1e9 })
      const name = `${arrivals}/s on ${connections}`
      near(result.wait.meanMs, meanWaitMs(queue), 0.05, `mean wait, ${name}`)
      near(result.wait.p95Ms, waitQuantileMs(queue, 0.95), 0.05, `p95, ${name}`)
      near(result.waitedShare, waitingProbability(queue.load, connections), 0.03, `share, ${name}`)
      near(result.utilisation, queue.load / connections, 0.01, `utilisation, ${name}`)
    }
  })

  it("waits as Pollaczek and Khinchine say, for one connection and any use time", () => {
    for (const distribution of ["constant", "exponential", "lognormal"] as const) {
      const variation = { constant: 0, exponential: 1, lognormal: 2 }[distribution]
      const result = simulate({
        arrivals: 70,
        use: 10,
        connections: 1,
        distribution,
        variation,
        duration: 150_000_000 / 70,
        acquireTimeout: 1e9
      })
      near(result.wait.meanMs, meanWaitMs({ load: 0.7, connections: 1, useMs: 10, variation }), 0.05, distribution)
    }
  })

  it("gives the same figures for the same seed, and others for another", () => {
    const run = (seed: number) =>
      simulate({
        arrivals: 500,
        use: "4 millis",
        connections: 3,
        duration: "5 seconds",
        seed,
        distribution: "lognormal"
      })
    assert.deepStrictEqual(run(7), run(7))
    assert.notDeepEqual(run(7), run(8))
  })

  it("never waits longer in a larger pool", () =>
    FastCheck.assert(
      FastCheck.property(FastCheck.integer({ min: 1, max: 20 }), FastCheck.integer(), (connections, seed) => {
        const wait = (size: number) =>
          simulate({ arrivals: 1000, use: 10, connections: size, duration: 500, seed, acquireTimeout: 1e9 }).wait
        return wait(connections + 1).p99Ms <= wait(connections).p99Ms + 1e-9
      }),
      { seed: 1, numRuns: 50 }
    ))

  it("serves a recorded list in the order of its arrival", () => {
    const { served, utilisation, wait } = simulate({
      arrivals: [0, 0, 5, 100],
      use: 10,
      connections: 1,
      distribution: "constant"
    })
    assert.strictEqual(served, 4)
    // Waits of 0, 10, 15 and 0 ms.
    assert.deepStrictEqual([wait.meanMs, wait.p50Ms, wait.maxMs], [6.25, 0, 15])
    assert.closeTo(utilisation, 0.3, 1e-9)
  })

  it("lets go who has waited for the acquire timeout, and nobody else", () => {
    const { arrivals, served, timeouts, wait } = simulate({
      arrivals: [0, 1, 2, 3],
      use: 10,
      connections: 1,
      distribution: "constant",
      acquireTimeout: 15
    })
    // The second starts at 10; the third and the fourth would at 20, after 18 and 17 ms.
    assert.deepStrictEqual([arrivals, served, timeouts], [4, 2, 2])
    assert.strictEqual(wait.maxMs, 9)
  })

  it("loses what a pool cannot bear to timeouts, and keeps its connections busy", () => {
    const result = simulate({ arrivals: 400, use: 10, connections: 2, duration: "20 seconds", acquireTimeout: 100 })
    assert.closeTo(result.timeouts / result.arrivals, 0.5, 0.03)
    assert.isAbove(result.utilisation, 0.99)
    assert.isAtMost(result.wait.maxMs, 100)
  })

  it("gets no more done with more connections than the server has cores, and takes longer", () => {
    const run = (connections: number) =>
      simulate({ arrivals: 390, use: 10, connections, cores: 4, duration: "60 seconds", acquireTimeout: 1000 })
    const [four, twelve] = [run(4), run(12)]
    assert.isAtMost(twelve.served, four.served * 1.02)
    assert.isAbove(twelve.response.p50Ms - twelve.wait.p50Ms, 2 * (four.response.p50Ms - four.wait.p50Ms))
  })
})
