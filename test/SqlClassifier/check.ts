/** Properties over many cases: a seeded few by default, twenty times as many new ones with PLINTH_TEST_LONG=1. */
import * as fc from "effect/FastCheck"

const long = process.env["PLINTH_TEST_LONG"] === "1"

export const patience = { timeout: long ? 1_800_000 : 60_000 }

/** Runs a property in slices, between which the test runner hears from its worker. */
export const check = async <A>(arbitrary: fc.Arbitrary<A>, runs: number, holds: (value: A) => void): Promise<void> => {
  const total = long ? runs * 20 : runs
  const seed = long ? Math.floor(Math.random() * 2 ** 31) : 20_251_122
  for (let done = 0; done < total; done += 500) {
    fc.assert(fc.property(arbitrary, holds), { numRuns: Math.min(500, total - done), seed: seed + done })
    await new Promise((resolve) => setImmediate(resolve))
  }
}
