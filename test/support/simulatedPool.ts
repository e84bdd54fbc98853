/**
 * A pool that only exists in the simulator, on the clock of the test: its statistics and its size are real to whoever
 * asks for them.
 */
import type { ConnectionPool } from "effect-plinth"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { SimulationOptions } from "../../src/PoolOptimizer/Simulation.ts"
import { Simulation } from "../../src/PoolOptimizer/Simulation.ts"
import { Histogram } from "../../src/internal/Histogram.ts"

/** A pool under load, and every size that it was given. */
export const simulatedPool = (options: SimulationOptions & { readonly min: number }) => {
  const times = { acquire: new Histogram(), use: new Histogram(), open: new Histogram(), read: new Histogram() }
  const sizes: Array<number> = []
  let size = { min: options.min, max: options.connections }
  let timeouts = 0
  const simulation = new Simulation(options, {
    onStart: (waited) => times.acquire.record(waited),
    onEnd: (use) => times.use.record(use),
    onTimeout: () => {
      timeouts++
    }
  })
  const caughtUp = Effect.map(Clock.currentTimeMillis, (now) => simulation.advance(now))
  const stats = Effect.map(caughtUp, (): ConnectionPool.PoolStats => ({
    ...size,
    total: size.max,
    idle: Math.max(0, size.max - simulation.busy),
    used: simulation.busy,
    opening: 0,
    waiting: simulation.waiting,
    lanes: 0,
    opened: size.max,
    connectFailures: 0,
    acquired: times.acquire.count,
    timeouts,
    refused: 0,
    leaks: 0,
    closed: { reset: 0, idle: 0, lifetime: 0, lost: 0, invalid: 0, busy: 0, shrunk: 0, closed: 0 },
    times: {
      acquire: times.acquire.snapshot,
      use: times.use.snapshot,
      open: times.open.snapshot,
      read: times.read.snapshot
    }
  }))
  const resize = (next: typeof size) =>
    Effect.map(caughtUp, () => {
      size = next
      sizes.push(next.max)
      simulation.resize(next.max)
    })
  return { name: "simulated", stats, resize, sizes }
}
