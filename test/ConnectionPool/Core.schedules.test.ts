/**
 * The pool's structure against random schedules of users, server and clock. What fails is shrunk, and runs again with
 * the seed and the path that are printed.
 */
import { assert, describe, it } from "@effect/vitest"
import * as FastCheck from "effect/FastCheck"
import { PoolWorld } from "../support/pool/PoolWorld.ts"
import { schedule } from "../support/pool/schedule.ts"

const schedules = process.env["PLINTH_TEST_LONG"] === undefined ? 10_000 : 100_000
const seed = Number(process.env["PLINTH_TEST_SEED"] ?? 20_260_101)
const hour = 3_600_000

describe("the structure of a pool", () => {
  it("keeps its invariants after every step of random schedules", () => {
    let simulated = 0
    FastCheck.assert(
      FastCheck.property(schedule, ({ limits, steps }) => {
        const world = new PoolWorld(limits)
        for (const step of steps) world.step(step)
        world.end()
        simulated += world.time.now
      }),
      { numRuns: schedules, seed }
    )
    assert.isAbove(simulated, hour)
  }, 600_000)
})
