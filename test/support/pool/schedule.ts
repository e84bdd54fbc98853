/**
 * Random schedules for a pool: what its users, its server and the clock do, one step after the other.
 */
import * as FastCheck from "effect/FastCheck"
import type { CloseReason, Limits } from "../../../src/ConnectionPool/Core.ts"
import type { Priority } from "../../../src/ConnectionPool/WaitList.ts"

/** How a connection comes back. */
export type Condition = "clean" | "open" | "busy" | "closed"

/** What becomes of the attempts to connect from now on. */
export type Opening = "succeeds" | "is refused" | "is starting up"

/** What becomes of checks and rollbacks from now on: at once, after a while, or only when their time is up. */
export type Answer = "at once" | "late" | "fails" | "fails late" | "hangs"

/** What the holder does within the call that hands it the slot. */
export type Conduct = "keeps" | "returns" | "asks again"

export type Step =
  | { readonly do: "checkout"; readonly conduct: Conduct; readonly priority: Priority }
  | { readonly do: "withdraw" | "kill"; readonly which: number }
  | { readonly do: "release"; readonly which: number; readonly condition: Condition; readonly lent: boolean }
  | { readonly do: "takeIdle" | "maintain" | "retryNow" | "replaceAll" | "close" }
  | { readonly do: "resize"; readonly min: number; readonly max: number }
  | { readonly do: "evict"; readonly reason: Extract<CloseReason, "lost" | "closed"> }
  | { readonly do: "opens"; readonly how: Opening; readonly ms: number }
  | { readonly do: "answers"; readonly how: Answer }
  /** Time passes; with a jump, while the process stands still. */
  | { readonly do: "wait" | "jump"; readonly ms: number }

export interface Schedule {
  readonly limits: Limits
  readonly steps: ReadonlyArray<Step>
}

const { array, boolean, constant, constantFrom, integer, nat, oneof, record } = FastCheck

const doing = <const A extends string>(...names: ReadonlyArray<A>) => constantFrom(...names)

const which = nat(20)

const step: FastCheck.Arbitrary<Step> = oneof(
  {
    weight: 10,
    arbitrary: record({
      do: doing("checkout"),
      conduct: constantFrom<Conduct>("keeps", "keeps", "keeps", "keeps", "returns", "asks again"),
      priority: constantFrom<Priority>("high", "normal", "normal", "low")
    })
  },
  {
    weight: 8,
    arbitrary: record({
      do: doing("release"),
      which,
      condition: constantFrom<Condition>("clean", "clean", "clean", "open", "open", "busy", "closed"),
      lent: boolean()
    })
  },
  { weight: 2, arbitrary: record({ do: doing("withdraw"), which }) },
  { weight: 2, arbitrary: record({ do: doing("kill"), which }) },
  {
    weight: 10,
    arbitrary: record({ do: doing("wait", "wait", "wait", "jump"), ms: constantFrom(1, 5, 40, 300, 600, 1_500, 6_000) })
  },
  {
    weight: 2,
    arbitrary: record({ do: doing("resize"), min: integer({ min: 0, max: 2 }), max: integer({ min: 1, max: 6 }) })
  },
  {
    weight: 3,
    arbitrary: record({
      do: doing("opens"),
      how: constantFrom<Opening>("succeeds", "succeeds", "is refused", "is starting up"),
      ms: constantFrom(1, 5, 50, 2_000)
    })
  },
  {
    weight: 3,
    arbitrary: record({
      do: doing("answers"),
      how: constantFrom<Answer>("at once", "late", "fails", "fails late", "hangs")
    })
  },
  { weight: 3, arbitrary: record({ do: doing("maintain", "maintain", "takeIdle", "retryNow", "replaceAll") }) },
  { weight: 1, arbitrary: record({ do: doing("evict"), reason: constantFrom("lost" as const, "closed" as const) }) },
  {
    weight: 1,
    arbitrary: oneof(
      { weight: 1, arbitrary: constant<Step>({ do: "close" }) },
      { weight: 3, arbitrary: constant<Step>({ do: "maintain" }) }
    )
  }
)

const limits: FastCheck.Arbitrary<Limits> = record({
  min: integer({ min: 0, max: 2 }),
  max: integer({ min: 2, max: 4 }),
  maxWaiting: integer({ min: 1, max: 8 }),
  acquireTimeout: constant(1_000),
  idleTimeout: constant(5_000),
  maxLifetime: constantFrom(8_000, 20_000),
  validateAfter: constantFrom(0, 100, 500),
  leakAfter: constant(3_000),
  connectConcurrency: integer({ min: 1, max: 3 })
})

export const schedule: FastCheck.Arbitrary<Schedule> = record({
  limits,
  steps: array(step, { minLength: 5, maxLength: 60, size: "max" })
})
