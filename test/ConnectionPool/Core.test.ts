/**
 * The pool's structure on simulated connections and the test clock.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as TestClock from "effect/TestClock"
import type { DatabaseError } from "effect-plinth"
import { DatabaseError as DatabaseErrors } from "effect-plinth"
import { PoolCore } from "../../src/ConnectionPool/Core.ts"
import type { Limits, Poolable, Slot } from "../../src/ConnectionPool/Core.ts"
import { monotonicMillis } from "../../src/internal/monotonicMillis.ts"

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
const simulate = (
  options: Partial<Limits> = {},
  fails: () => boolean = () => false,
  failure: Effect.Effect<never, DatabaseError.DatabaseError> = Effect.fail(refused)
) =>
  Effect.gen(function* () {
    const fork = yield* FiberSet.makeRuntime<never>()
    const clock = yield* Clock.clockWith(Effect.succeed)
    const connections: Array<FakeConnection> = []
    const core = new PoolCore<FakeConnection>(
      { ...limits, ...options },
      {
        open: Effect.suspend(() =>
          fails()
            ? Effect.delay(failure, "5 millis")
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

/** Has a connection for so many milliseconds. */
const use = (core: PoolCore<FakeConnection>, ms: number) =>
  Effect.gen(function* () {
    let slot: Slot<FakeConnection> | undefined
    core.checkout((outcome) => {
      if (!(outcome instanceof DatabaseErrors.DatabaseError)) slot = outcome
    })
    yield* TestClock.adjust("10 millis")
    yield* TestClock.adjust(ms)
    if (slot !== undefined) core.release(slot)
  })

describe("PoolCore", () => {
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

  it.effect("tells whoever waits of a defect in what opens connections, and tries again", () =>
    Effect.gen(function* () {
      let broken = true
      const defect = Effect.die(new Error("no vault"))
      const { core } = yield* simulate({ max: 1 }, () => broken, defect)
      const outcomes: Array<unknown> = []
      core.checkout((outcome) => outcomes.push(outcome))
      yield* TestClock.adjust("5 millis")
      const [error] = outcomes
      assert.include(error instanceof DatabaseErrors.DatabaseError ? error.message : "a slot", "no vault")
      assert.strictEqual(core.counters.connectFailures, 1)
      broken = false
      core.checkout((outcome) => outcomes.push(outcome))
      yield* TestClock.adjust("500 millis")
      assert.lengthOf(outcomes, 2)
      assert.notInstanceOf(outcomes[1], DatabaseErrors.DatabaseError)
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
      yield* Effect.repeatN(use(core, 400), 20)
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

  it.effect("refuses nobody for what a use took long ago, or once, or for connections that it has yet to open", () =>
    Effect.gen(function* () {
      const refusedOf = (core: PoolCore<FakeConnection>) => {
        for (let i = 0; i < 30; i++) core.checkout(() => {})
        return core.counters.refused
      }
      const longAgo = (yield* simulate({ max: 1, maxWaiting: 100 })).core
      yield* Effect.repeatN(use(longAgo, 900), 20)
      yield* TestClock.adjust("1 hour")
      yield* Effect.repeatN(use(longAgo, 0), 5)
      assert.strictEqual(refusedOf(longAgo), 0)

      const once = (yield* simulate({ max: 1, maxWaiting: 100 })).core
      yield* Effect.repeatN(use(once, 0), 20)
      yield* use(once, 3_600_000)
      yield* Effect.repeatN(use(once, 0), 10)
      assert.strictEqual(refusedOf(once), 0)

      const small = (yield* simulate({ max: 20, maxWaiting: 100 })).core
      yield* Effect.repeatN(use(small, 400), 20)
      assert.strictEqual(small.size.total, 1)
      assert.strictEqual(refusedOf(small), 0)
    }).pipe(Effect.scoped)
  )

  it.effect("says once that it is drained, with connections at rest and one on its way", () =>
    Effect.gen(function* () {
      const { core } = yield* simulate({ min: 2 })
      core.maintain()
      yield* TestClock.adjust("1 second")
      assert.strictEqual(core.size.idle, 2)
      core.resize({ min: 3, max: 4 })
      assert.strictEqual(core.size.opening, 1)
      let drained = 0
      core.close(() => drained++)
      assert.strictEqual(drained, 0)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(drained, 1)
    }).pipe(Effect.scoped)
  )
})
