import { assert, describe, it } from "@effect/vitest"
import { PoolOptimizer } from "effect-plinth"
import * as FastCheck from "effect/FastCheck"

const server: PoolOptimizer.Server = { maxConnections: 100, cores: 16 }
const workload: PoolOptimizer.Workload = { arrivalsPerSecond: 500, use: "8 millis" }

describe("PoolOptimizer.advise", () => {
  it("recommends the fewest connections with which one checkout in a hundred waits", () => {
    const { figures, limit, perProcess, reasons } = PoolOptimizer.advise({ server, workload })
    assert.strictEqual(figures.load, 4)
    // Erlang C for 4 Erlangs: 0.0238 with 9 connections, 0.0088 with 10.
    assert.deepStrictEqual(perProcess, { min: 4, max: 10 })
    assert.strictEqual(limit, "need")
    assert.isAtMost(figures.waiting ?? 1, 0.01)
    assert.include(reasons[0], "keep 4 connections busy on average (Little's law)")
  })

  it("gives each process its own queue, which takes more in all than one queue would", () => {
    const { figures, perProcess, total } = PoolOptimizer.advise({ server, workload, processes: 4 })
    assert.strictEqual(perProcess.max, 5)
    assert.strictEqual(total.max, 20)
    assert.strictEqual(figures.needTotal, 20)
  })

  it("stops at cores x 2 + spindles where no latency was measured", () => {
    const busy = { ...workload, arrivalsPerSecond: 1000 }
    const { figures, limit, perProcess } = PoolOptimizer.advise({ server: { ...server, cores: 4 }, workload: busy })
    assert.deepStrictEqual([limit, perProcess.max, figures.startingPoint], ["cores", 9, 9])
  })

  it("lets more be held where the server does not work all the time", () => {
    const { perProcess } = PoolOptimizer.advise({
      server: { ...server, cores: 4 },
      workload: { arrivalsPerSecond: 1000, use: "8 millis", roundTrip: "4 millis" }
    })
    // 8 busy on average need 16; 9 at work are 18 held.
    assert.strictEqual(perProcess.max, 16)
  })

  it("believes a measured knee more than the cores", () => {
    const latencies = [2, 4, 6, 8, 12, 16].map((concurrency) => ({
      concurrency,
      latencyMs: 8 * Math.max(1, concurrency / 6)
    }))
    const { figures, limit, perProcess } = PoolOptimizer.advise({ server, workload, latencies })
    assert.deepStrictEqual([limit, perProcess.max, figures.knee], ["knee", 6, 6])
  })

  it("never takes more than max_connections leaves, with what each process opens on top", () => {
    const { alerts, figures, limit, perProcess } = PoolOptimizer.advise({
      server: { maxConnections: 50, superuserReserved: 3, reserved: 2, others: 5 },
      workload,
      processes: 8
    })
    // (50 - 3 - 2 - 5) / 8 - 3
    assert.deepStrictEqual([limit, perProcess.max, figures.boundPerProcess], ["server", 2, 2])
    assert.isEmpty(alerts)
  })

  it("is critical where not even one connection per process fits", () => {
    const { alerts, perProcess } = PoolOptimizer.advise({ server: { maxConnections: 20 }, processes: 8 })
    assert.strictEqual(perProcess.max, 1)
    assert.deepStrictEqual(
      alerts.map(({ measure, severity }) => [measure, severity]),
      [["capacity", "critical"]]
    )
    assert.include(alerts[0]?.message, "pooler")
  })

  it("is critical where the work is more than the recommended pool can bear, and promises no mean wait", () => {
    const { alerts, figures } = PoolOptimizer.advise({
      server: { maxConnections: 100, cores: 1 },
      workload: { arrivalsPerSecond: 1000, use: "10 millis" }
    })
    assert.deepStrictEqual(
      alerts.map(({ measure, severity }) => [measure, severity]),
      [["capacity", "critical"]]
    )
    assert.isUndefined(figures.meanWaitMs)
  })

  it("says that cores and work are unknown instead of guessing them", () => {
    const { limit, perProcess, unknowns } = PoolOptimizer.advise({ server: { maxConnections: 100 } })
    assert.deepStrictEqual([limit, perProcess.max], ["default", 10])
    assert.strictEqual(unknowns.length, 2)
    assert.match(unknowns.join("\n"), /cores are not known/)
  })

  it("fits on the server and keeps its bounds in order, whatever it is given", () =>
    FastCheck.assert(
      FastCheck.property(
        FastCheck.record({
          arrivalsPerSecond: FastCheck.double({ min: 0, max: 1e12, noNaN: true }),
          use: FastCheck.double({ min: 0, max: 1000, noNaN: true }),
          variation: FastCheck.double({ min: 0, max: 20, noNaN: true })
        }),
        FastCheck.integer({ min: 20, max: 1000 }),
        FastCheck.integer({ min: 1, max: 50 }),
        FastCheck.option(FastCheck.integer({ min: 1, max: 128 }), { nil: undefined }),
        (workload, maxConnections, processes, cores) => {
          const advice = PoolOptimizer.advise({ server: { maxConnections, cores }, workload, processes })
          const { max, min } = advice.perProcess
          const fits = max * processes + 3 * processes <= maxConnections - 3
          return (
            min >= 1 &&
            min <= max &&
            (fits || (max === 1 && advice.alerts.some(({ measure }) => measure === "capacity"))) &&
            !/NaN|Infinity|undefined/.test(PoolOptimizer.renderText(advice))
          )
        }
      ),
      { seed: 1, numRuns: 200 }
    ))

  it("is text made of the same sentences as the value", () => {
    const advice = PoolOptimizer.advise({ server: { maxConnections: 100 }, workload, processes: 2 })
    const text = PoolOptimizer.renderText(advice)
    for (const line of [...advice.reasons, ...advice.unknowns]) assert.include(text, line)
    assert.match(
      text,
      /^Recommended: a pool of 2 to \d+ in each of 2 processes, 4 to \d+ in all\. The limit is what the work needs\.\n/
    )
  })
})

describe("PoolOptimizer.knee", () => {
  const points = (latency: (concurrency: number) => number) =>
    [1, 2, 4, 8, 12, 16, 24, 32].map((concurrency) => ({ concurrency, latencyMs: latency(concurrency) }))

  it("is where latency begins to grow with the connections", () => {
    assert.deepInclude(PoolOptimizer.knee(points((n) => 5 * Math.max(1, n / 12))), { _tag: "Found", concurrency: 12 })
  })

  it("is where power is greatest on a server that slows down gently", () => {
    // Power n / (1 + n / 8)² is greatest at n = 8.
    assert.deepInclude(PoolOptimizer.knee(points((n) => 1 + n / 8)), { _tag: "Found", concurrency: 8 })
  })

  it("is beyond what was measured where latency did not grow", () => {
    assert.deepStrictEqual(PoolOptimizer.knee(points(() => 5)), { _tag: "Beyond", concurrency: 32 })
  })

  it("is unknown by two concurrencies, however often they were measured", () => {
    const two = points((n) => n).slice(0, 2)
    assert.deepStrictEqual(PoolOptimizer.knee([...two, ...two, ...two]), { _tag: "Unknown" })
  })
})

describe("PoolOptimizer.alerts", () => {
  const of = (observation: PoolOptimizer.Observation) =>
    PoolOptimizer.alerts(observation).map(({ measure, severity }) => `${severity} ${measure}`)

  it("are given at the thresholds, and not below them", () => {
    assert.deepStrictEqual(of({ utilisation: 0.69, acquireMs: 499, errorShare: 0.019 }), [])
    assert.deepStrictEqual(of({ utilisation: 0.7, acquireMs: 500, errorShare: 0.02 }), [
      "warning utilisation",
      "warning acquire",
      "warning errors"
    ])
    assert.deepStrictEqual(of({ utilisation: 0.9, acquireMs: 1000, errorShare: 0.05 }), [
      "critical utilisation",
      "critical acquire",
      "critical errors"
    ])
  })

  it("do not judge what is not known", () => assert.deepStrictEqual(of({}), []))
})
