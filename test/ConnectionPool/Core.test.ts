/**
 * The pool's structure against random schedules, on simulated connections and a simulated clock.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FastCheck from "effect/FastCheck"
import * as FiberSet from "effect/FiberSet"
import * as TestClock from "effect/TestClock"
import type { DatabaseError } from "effect-plinth"
import { DatabaseError as DatabaseErrors } from "effect-plinth"
import { PoolCore } from "../../src/ConnectionPool/Core.ts"
import type { Limits, Poolable, Slot, Ticket } from "../../src/ConnectionPool/Core.ts"
import { monotonicMillis } from "../../src/internal/monotonicMillis.ts"

const rounds = process.env["PLINTH_TEST_LONG"] === undefined ? 25 : 10_000

class FakeConnection implements Poolable {
  closed: DatabaseError.DatabaseError | undefined
  onClosed: (() => void) | undefined
  condition: "clean" | "open" | "busy" = "clean"
  ended = false
  die(): void {
    this.closed ??= new DatabaseErrors.DatabaseError({
      reason: "ConnectionLost",
      operation: "test",
      description: "killed"
    })
    this.onClosed?.()
  }
}

const limits: Limits = {
  min: 1,
  max: 4,
  maxWaiting: 6,
  acquireTimeout: 1_000,
  idleTimeout: 5_000,
  maxLifetime: 20_000,
  validateAfter: 500,
  leakAfter: 30_000,
  connectConcurrency: 2
}

const refused = new DatabaseErrors.DatabaseError({
  reason: "ConnectionRefused",
  operation: "connect",
  description: "no"
})

/** A structure over fake connections; `fails` decides whether the next attempt to connect does. */
const simulate = (options: Partial<Limits> = {}, fails: () => boolean = () => false) =>
  Effect.gen(function* () {
    const fork = yield* FiberSet.makeRuntime<never>()
    const clock = yield* Clock.clockWith(Effect.succeed)
    const connections: Array<FakeConnection> = []
    const core = new PoolCore<FakeConnection>(
      { ...limits, ...options },
      {
        open: Effect.suspend(() =>
          fails()
            ? Effect.delay(Effect.fail(refused), "5 millis")
            : Effect.delay(
                Effect.sync(() => {
                  const connection = new FakeConnection()
                  connections.push(connection)
                  return connection
                }),
                "5 millis"
              )
        ),
        check: (connection) =>
          Effect.suspend(() => (connection.closed === undefined ? Effect.void : Effect.fail(connection.closed))),
        condition: (connection) => connection.condition,
        reset: undefined,
        restore: (connection) =>
          Effect.sync(() => {
            connection.condition = "clean"
          }),
        end: (connection) =>
          Effect.sync(() => {
            connection.ended = true
          }),
        dropOverdue: () => {},
        drop: (connection) => {
          connection.ended = true
          connection.die()
        }
      },
      {
        name: "fake",
        now: () => monotonicMillis(clock),
        random: () => 0.5,
        fork: (effect) => void fork(effect),
        priority: () => "normal",
        onLongHeld: () => {}
      }
    )
    return { core, connections }
  })

type Step =
  | { readonly do: "checkout" | "maintain" }
  | { readonly do: "release"; readonly which: number; readonly condition: FakeConnection["condition"] }
  | { readonly do: "withdraw" | "kill"; readonly which: number }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "resize"; readonly max: number }
  | { readonly do: "refuse"; readonly attempts: number }

const nat = FastCheck.nat(20)
const step: FastCheck.Arbitrary<Step> = FastCheck.oneof(
  { weight: 5, arbitrary: FastCheck.constant<Step>({ do: "checkout" }) },
  {
    weight: 4,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("release" as const),
      which: nat,
      condition: FastCheck.constantFrom("clean" as const, "clean" as const, "open" as const, "busy" as const)
    })
  },
  { weight: 1, arbitrary: FastCheck.record({ do: FastCheck.constant("withdraw" as const), which: nat }) },
  { weight: 1, arbitrary: FastCheck.record({ do: FastCheck.constant("kill" as const), which: nat }) },
  {
    weight: 4,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("wait" as const),
      ms: FastCheck.constantFrom(1, 10, 600, 1_500, 6_000)
    })
  },
  {
    weight: 1,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("resize" as const),
      max: FastCheck.integer({ min: 1, max: 6 })
    })
  },
  {
    weight: 1,
    arbitrary: FastCheck.record({
      do: FastCheck.constant("refuse" as const),
      attempts: FastCheck.integer({ min: 1, max: 3 })
    })
  },
  { weight: 1, arbitrary: FastCheck.constant<Step>({ do: "maintain" }) }
)

/** Runs a schedule, then lets go of everything and looks at what is left. */
const run = (schedule: ReadonlyArray<Step>) =>
  Effect.gen(function* () {
    let refusals = 0
    const { connections, core } = yield* simulate({}, () => refusals > 0 && refusals-- > 0)
    const held: Array<Slot<FakeConnection>> = []
    const tickets: Array<Ticket<FakeConnection>> = []
    const settled: Array<number> = []
    let asked = 0
    let max = limits.max

    const checkout = () => {
      const number = asked++
      tickets.push(
        core.checkout((outcome) => {
          assert.notInclude(settled, number, "a ticket is settled once")
          settled.push(number)
          if (outcome instanceof DatabaseErrors.DatabaseError) return
          assert.notInclude(held, outcome, "a slot has one holder")
          assert.strictEqual(outcome.connection.condition, "clean", "only a clean connection is handed on")
          held.push(outcome)
        })
      )
    }

    for (const action of schedule) {
      switch (action.do) {
        case "checkout":
          checkout()
          break
        case "maintain":
          core.maintain()
          break
        case "release": {
          const [slot] = held.splice(action.which % Math.max(held.length, 1), 1)
          if (slot !== undefined) {
            slot.connection.condition = action.condition
            core.release(slot)
          }
          break
        }
        case "withdraw": {
          const ticket = tickets[action.which % Math.max(tickets.length, 1)]
          if (ticket !== undefined) core.withdraw(ticket)
          break
        }
        case "kill":
          connections[action.which % Math.max(connections.length, 1)]?.die()
          break
        case "wait":
          yield* TestClock.adjust(action.ms)
          break
        case "resize":
          max = action.max
          core.resize({ min: 1, max })
          break
        case "refuse":
          refusals = action.attempts
      }
      const { idle, opening, total, used, waiting } = core.size
      assert.isAtMost(opening, limits.connectConcurrency)
      assert.isAtMost(waiting, limits.maxWaiting + 1)
      assert.isAtLeast(idle, 0)
      assert.strictEqual(used, total - idle)
      assert.isTrue(total <= Math.max(max, limits.max + 2), "never more connections than asked for")
    }

    for (const slot of held.splice(0)) {
      slot.connection.condition = "clean"
      core.release(slot)
    }
    refusals = 0
    yield* TestClock.adjust("30 seconds")
    while (held.length > 0) {
      for (const slot of held.splice(0)) core.release(slot)
      yield* TestClock.adjust("10 seconds")
    }
    assert.strictEqual(core.size.waiting, 0, "nobody waits for ever")
    assert.strictEqual(core.size.used, 0, "nothing is lost")
    const live = connections.filter((connection) => !connection.ended && connection.closed === undefined)
    assert.strictEqual(live.length, core.size.total, "every open connection is the pool's")
    let drained = false
    core.close(() => {
      drained = true
    })
    yield* TestClock.adjust("1 second")
    assert.isTrue(drained)
    assert.isTrue(connections.every((connection) => connection.ended || connection.closed !== undefined))
  }).pipe(Effect.scoped)

describe("PoolCore", () => {
  it.effect("keeps its invariants in random schedules", () =>
    Effect.forEach(
      FastCheck.sample(FastCheck.array(step, { minLength: 5, maxLength: 60 }), { numRuns: rounds, seed: 20_26 }),
      run,
      { concurrency: 1, discard: true }
    )
  )

  it.effect("serves waiters in the order in which they came", () =>
    Effect.gen(function* () {
      const { core } = yield* simulate({ max: 1 })
      const served: Array<number> = []
      let slot: Slot<FakeConnection> | undefined
      for (const number of [1, 2, 3]) {
        core.checkout((outcome) => {
          if (outcome instanceof DatabaseErrors.DatabaseError) return
          served.push(number)
          slot = outcome
        })
      }
      for (let i = 0; i < 3; i++) {
        yield* TestClock.adjust("10 millis")
        if (slot !== undefined) core.release(slot)
      }
      assert.deepStrictEqual(served, [1, 2, 3])
    }).pipe(Effect.scoped)
  )

  it.effect("fails whoever waited when the server refuses, and says who holds connections when time runs out", () =>
    Effect.gen(function* () {
      let down = true
      const { core } = yield* simulate({ max: 1 }, () => down)
      const outcomes: Array<string> = []
      const ask = () =>
        core.checkout((outcome) => {
          outcomes.push(outcome instanceof DatabaseErrors.DatabaseError ? outcome.description : "a slot")
        })
      ask()
      yield* TestClock.adjust("10 millis")
      assert.deepStrictEqual(outcomes, ["no"])
      down = false
      ask()
      yield* TestClock.adjust("1 second")
      ask()
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual(outcomes[1], "a slot")
      assert.match(outcomes[2] ?? "", /no connection became free within 1000 ms: 1 of 1 open, the longest in use for/)
    }).pipe(Effect.scoped)
  )

  it.effect("refuses at once when too many wait already", () =>
    Effect.gen(function* () {
      const { core } = yield* simulate({ max: 1, maxWaiting: 1 })
      const outcomes: Array<unknown> = []
      for (let i = 0; i < 3; i++) core.checkout((outcome) => outcomes.push(outcome))
      assert.strictEqual(outcomes.length, 2)
    }).pipe(Effect.scoped)
  )

  it.effect("refuses at once who would wait for twice the deadline, and says for whom", () =>
    Effect.gen(function* () {
      const { core } = yield* simulate({ max: 1, maxWaiting: 100 })
      const use = (ms: number) =>
        Effect.gen(function* () {
          let slot: Slot<FakeConnection> | undefined
          core.checkout((outcome) => {
            if (!(outcome instanceof DatabaseErrors.DatabaseError)) slot = outcome
          })
          yield* TestClock.adjust("10 millis")
          yield* TestClock.adjust(ms)
          if (slot !== undefined) core.release(slot)
        })
      yield* Effect.repeatN(use(400), 20)
      const outcomes: Array<unknown> = []
      for (let i = 0; i < 10; i++) core.checkout((outcome) => outcomes.push(outcome))
      // One has the connection; four who wait for 410 ms each are more than the deadline of a second, and not twice it.
      const [first, ...others] = outcomes
      assert.notInstanceOf(first, DatabaseErrors.DatabaseError)
      assert.strictEqual(others.length, 5)
      for (const other of others) {
        assert.match(
          other instanceof DatabaseErrors.DatabaseError ? other.description : "a slot",
          /^it would wait for about 20\d\d ms, and acquireTimeout is 1000 ms: 1 of 1 open, the longest in use for 0 ms by fiber #\d+; 4 waiting$/
        )
      }
      assert.strictEqual(core.counters.refused, 5)
    }).pipe(Effect.scoped)
  )
})
