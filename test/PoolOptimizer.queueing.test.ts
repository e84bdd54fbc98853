import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import * as Queueing from "../src/PoolOptimizer/queueing.ts"

/** Erlang C by its definition, with factorials. */
const byDefinition = (load: number, connections: number): number => {
  const terms = Array.from({ length: connections }, (_, k) => load ** k / factorial(k))
  const last = (load ** connections / factorial(connections)) * (connections / (connections - load))
  return last / (terms.reduce((sum, term) => sum + term, 0) + last)
}

const factorial = (n: number): number => (n <= 1 ? 1 : n * factorial(n - 1))

describe("the formulas of queues", () => {
  it("give Erlang C as its definition does", () => {
    for (const [load, connections] of [
      [0.5, 1],
      [2, 3],
      [8, 10],
      [11.5, 12]
    ] as const) {
      assert.closeTo(Queueing.waitingProbability(load, connections), byDefinition(load, connections), 1e-12)
    }
  })

  it("give the mean wait of Pollaczek and Khinchine for one connection", () => {
    for (const variation of [0, 1, 4]) {
      const queue = { load: 0.8, connections: 1, useMs: 10, variation }
      assert.closeTo(Queueing.meanWaitMs(queue), ((0.8 * (1 + variation)) / 2 / (1 - 0.8)) * 10, 1e-9)
    }
  })

  it("say that everybody waits, without end, for a pool that cannot bear its load", () => {
    assert.strictEqual(Queueing.waitingProbability(3, 3), 1)
    assert.strictEqual(Queueing.meanWaitMs({ load: 3, connections: 3, useMs: 1, variation: 1 }), Infinity)
  })

  it("find the fewest connections that keep to the target: one less does not", () =>
    FastCheck.assert(
      FastCheck.property(
        FastCheck.double({ min: 0.01, max: 300, noNaN: true }),
        FastCheck.double({ min: 0.001, max: 0.5, noNaN: true }),
        (load, waiting) => {
          const keeps = (connections: number) =>
            load / connections <= 0.7 && Queueing.waitingProbability(load, connections) <= waiting
          const found = Queueing.connectionsFor(load, { waiting, utilisation: 0.7 })
          return keeps(found) && (found === 1 || !keeps(found - 1))
        }
      ),
      { seed: 1, numRuns: 200 }
    ))

  it("have an answer for loads that no pool can bear, and for what is no load, in no time", () => {
    for (const load of [1e7, 1e300, Infinity, NaN]) {
      assert.strictEqual(Queueing.connectionsFor(load, { waiting: 0.01, utilisation: 0.7 }), Infinity)
      assert.strictEqual(Queueing.busyQuantile(load, 0.99), Infinity)
    }
  })

  it("give the quantile of busy connections of the Poisson distribution, of large loads too", () => {
    // P(X <= 5) = 0.9161, P(X <= 6) = 0.9665, P(X <= 8) = 0.9962 for a mean of 3.
    assert.strictEqual(Queueing.busyQuantile(3, 0.95), 6)
    assert.strictEqual(Queueing.busyQuantile(3, 0.99), 8)
    assert.closeTo(Queueing.busyQuantile(2000, 0.5), 2000, 1)
  })

  it("give a wait that the stated share of the arrivals does not exceed, in M/M/1", () => {
    // P(W > t) = rho e^(-(1 - rho) t / s)
    const t = Queueing.waitQuantileMs({ load: 0.5, connections: 1, useMs: 10, variation: 1 }, 0.95)
    assert.closeTo(0.5 * Math.exp((-0.5 * t) / 10), 0.05, 1e-9)
  })
})
