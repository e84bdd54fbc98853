import { assert, describe, it } from "@effect/vitest"
import { CircuitBreaker, DatabaseError as DatabaseErrors } from "effect-plinth"
import * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as FastCheck from "effect/FastCheck"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/TestClock"
import type { Limits, Outcome, Permit } from "../src/CircuitBreaker/machine.ts"
import { makeMachine } from "../src/CircuitBreaker/machine.ts"
import type { Reason } from "../src/DatabaseError.ts"

const failureOf = (reason: Reason, sqlState?: string) =>
  new DatabaseErrors.DatabaseError({ reason, operation: "query", description: "it failed", sqlState })

const lost = failureOf("ConnectionLost")

const makeBreaker = CircuitBreaker.make({ node: "db:5432/app" })

type Breaker = CircuitBreaker.CircuitBreaker

/** Lets a call through that ends this way, or says that it was refused. */
const call = <E>(breaker: Breaker, self: Effect.Effect<void, E>) =>
  Effect.map(Effect.either(breaker.protect(self)), (result) =>
    Either.isLeft(result) && DatabaseErrors.isDatabaseError(result.left) && result.left.reason === "BreakerOpen"
      ? "refused"
      : "called"
  )

const failing = (breaker: Breaker, times: number) =>
  Effect.replicateEffect(call(breaker, Effect.fail(lost)), times, { discard: true })

const passing = (breaker: Breaker, times: number) =>
  Effect.replicateEffect(call(breaker, Effect.void), times, { discard: true })

/** A call under way that ends when the gate opens. */
const underWay = Effect.fnUntraced(function* (breaker: Breaker, gate: Deferred.Deferred<void>) {
  const begun = yield* Deferred.make<void>()
  const fiber = yield* Effect.fork(
    breaker.protect(Effect.zipRight(Deferred.succeed(begun, undefined), Deferred.await(gate)))
  )
  yield* Deferred.await(begun)
  return fiber
})

const tagOf = (breaker: Breaker) => Effect.map(breaker.state, (state) => state._tag)

describe("CircuitBreaker", () => {
  it.effect("opens at the fifth failure in a row, and a success in between starts the count again", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      yield* failing(breaker, 4)
      yield* passing(breaker, 1)
      yield* failing(breaker, 4)
      assert.strictEqual(yield* tagOf(breaker), "Closed")
      yield* failing(breaker, 1)
      assert.strictEqual(yield* tagOf(breaker), "Open")
    })
  )

  it.effect("opens when half of at least twenty calls within ten seconds failed", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      const alternate = Effect.zipRight(passing(breaker, 1), failing(breaker, 1))
      yield* Effect.replicateEffect(alternate, 9)
      assert.strictEqual(yield* tagOf(breaker), "Closed")
      yield* alternate
      assert.strictEqual(yield* tagOf(breaker), "Open")
    })
  )

  it.effect("forgets the calls of more than ten seconds ago", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      const alternate = Effect.zipRight(passing(breaker, 1), failing(breaker, 1))
      yield* Effect.replicateEffect(alternate, 9)
      yield* TestClock.adjust("11 seconds")
      yield* alternate
      assert.strictEqual(yield* tagOf(breaker), "Closed")
    })
  )

  it.effect("refuses without calling while open, and says for how long and of which node", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      yield* failing(breaker, 5)
      yield* TestClock.adjust("2 seconds")
      const refusal = yield* Effect.flip(breaker.protect(Effect.dieMessage("called")))
      assert.strictEqual(refusal.reason, "BreakerOpen")
      assert.strictEqual(refusal.node, "db:5432/app")
      assert.include(refusal.message, "another 3s")
    })
  )

  it.effect("lets one probe through after five seconds, and closes after two that pass", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      yield* failing(breaker, 5)
      yield* TestClock.adjust("5 seconds")
      const gate = yield* Deferred.make<void>()
      const probe = yield* underWay(breaker, gate)
      assert.strictEqual(yield* tagOf(breaker), "HalfOpen")
      assert.strictEqual(yield* call(breaker, Effect.void), "refused")
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(probe)
      assert.strictEqual(yield* tagOf(breaker), "HalfOpen")
      yield* passing(breaker, 1)
      assert.strictEqual(yield* tagOf(breaker), "Closed")
    })
  )

  it.effect("stays open twice as long after each failed probe, up to a minute, and starts anew once closed", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      yield* failing(breaker, 5)
      const openFor = Effect.map(breaker.state, (state) =>
        state._tag === "Open" ? (state.untilMillis - state.sinceMillis) / 1_000 : 0
      )
      const seconds = [yield* openFor]
      for (let round = 0; round < 5; round++) {
        yield* TestClock.adjust("60 seconds")
        yield* failing(breaker, 1)
        seconds.push(yield* openFor)
      }
      assert.deepStrictEqual(seconds, [5, 10, 20, 40, 60, 60])
      yield* TestClock.adjust("60 seconds")
      yield* passing(breaker, 2)
      yield* failing(breaker, 5)
      assert.strictEqual(yield* openFor, 5)
    })
  )

  it.effect("takes whatever the server answered for a sign of health", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      yield* Effect.replicateEffect(call(breaker, Effect.fail(failureOf("UniqueViolation", "23505"))), 100)
      assert.strictEqual(yield* tagOf(breaker), "Closed")
      yield* failing(breaker, 4)
      yield* call(breaker, Effect.fail(failureOf("StatementTimeout", "57014")))
      yield* failing(breaker, 4)
      assert.strictEqual(yield* tagOf(breaker), "Closed")
    })
  )

  it.effect("learns nothing from a defect, an interruption, a full pool or an application's failure", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      yield* failing(breaker, 4)
      yield* Effect.exit(breaker.protect(Effect.dieMessage("bug")))
      yield* Effect.exit(breaker.protect(Effect.interrupt))
      yield* call(breaker, Effect.fail(failureOf("AcquireTimeout")))
      yield* call(breaker, Effect.fail("mine"))
      assert.strictEqual(yield* tagOf(breaker), "Closed")
      yield* failing(breaker, 1)
      assert.strictEqual(yield* tagOf(breaker), "Open")
    })
  )

  it.effect("sees a connection failure inside a client's SqlError", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      yield* Effect.replicateEffect(call(breaker, Effect.fail(DatabaseErrors.toSqlError(lost))), 5)
      assert.strictEqual(yield* tagOf(breaker), "Open")
    })
  )

  it.effect("lets the next probe through when one was interrupted", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      yield* failing(breaker, 5)
      yield* TestClock.adjust("5 seconds")
      const probe = yield* underWay(breaker, yield* Deferred.make<void>())
      assert.strictEqual(yield* call(breaker, Effect.void), "refused")
      yield* Fiber.interrupt(probe)
      assert.strictEqual(yield* call(breaker, Effect.void), "called")
    })
  )

  it.effect("ignores the end of a call that began before it opened", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      const gate = yield* Deferred.make<void>()
      const slow = yield* Effect.replicateEffect(underWay(breaker, gate), 3)
      yield* failing(breaker, 5)
      yield* TestClock.adjust("5 seconds")
      const probe = yield* underWay(breaker, yield* Deferred.make<void>())
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.joinAll(slow)
      assert.strictEqual(yield* tagOf(breaker), "HalfOpen")
      assert.strictEqual(yield* call(breaker, Effect.void), "refused")
      yield* Fiber.interrupt(probe)
    })
  )

  it.effect("streams the present state and every change", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      const seen = yield* Effect.fork(
        breaker.changes.pipe(
          Stream.map((state) => state._tag),
          Stream.take(4),
          Stream.runCollect
        )
      )
      yield* TestClock.adjust("1 second")
      yield* failing(breaker, 5)
      yield* TestClock.adjust("5 seconds")
      yield* passing(breaker, 2)
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Fiber.join(seen)), ["Closed", "Open", "HalfOpen", "Closed"])
    })
  )

  it.effect("says in advance what it would let through", () =>
    Effect.gen(function* () {
      const breaker = yield* makeBreaker
      assert.isTrue(breaker.wouldAdmit(0))
      yield* failing(breaker, 5)
      assert.isFalse(breaker.wouldAdmit(4_999))
      assert.isTrue(breaker.wouldAdmit(5_000))
    })
  )

  describe("as a state machine", () => {
    const common: Limits = {
      consecutiveFailures: 3,
      failureShare: 0.5,
      minCalls: 6,
      windowMillis: 1_000,
      openMillis: 500,
      maxOpenMillis: 2_000,
      successesToClose: 2
    }

    /** A step: time passes; then a call begins, or the oldest or newest one under way ends. */
    const step = FastCheck.record({
      wait: FastCheck.constantFrom(0, 1, 99, 100, 250, 500, 1_000, 2_000),
      action: FastCheck.constantFrom("begin" as const, "endOldest" as const, "endNewest" as const),
      outcome: FastCheck.constantFrom<Outcome>("failure", "failure", "success", "neutral")
    })

    /**
     * The specification in the slowest words: every call that ended since the phase began is kept, and each question is
     * answered by reading them all.
     */
    interface Call {
      readonly phase: number
      readonly permit: Permit
    }
    const makeModel = (limits: Limits) => {
      let tag: "Closed" | "Open" | "HalfOpen" = "Closed"
      let phase = 0
      let until = 0
      let openFor = limits.openMillis
      let ended: Array<{ readonly at: number; readonly outcome: Outcome }> = []
      let underWay = 0
      const enter = (next: typeof tag) => {
        tag = next
        phase++
        ended = []
        underWay = 0
      }
      const isTripped = (now: number): boolean => {
        const told = ended.filter(({ outcome }) => outcome !== "neutral")
        const last = told.slice(-limits.consecutiveFailures)
        if (last.length === limits.consecutiveFailures && last.every(({ outcome }) => outcome === "failure"))
          return true
        // The window moves in slots of a tenth.
        const slot = (at: number) => Math.floor(at / (limits.windowMillis / 10))
        const recent = told.filter(({ at }) => slot(at) > slot(now) - 10)
        const failed = recent.filter(({ outcome }) => outcome === "failure").length
        return recent.length >= limits.minCalls && failed >= recent.length * limits.failureShare
      }
      return {
        tag: () => tag,
        phase: () => phase,
        begin: (now: number): boolean => {
          if (tag === "Open" && now >= until) enter("HalfOpen")
          if (tag === "Open" || (tag === "HalfOpen" && underWay > 0)) return false
          underWay++
          return true
        },
        end: (of: number, outcome: Outcome, now: number) => {
          if (of !== phase) return
          underWay--
          ended.push({ at: now, outcome })
          if (outcome === "neutral") return
          if (tag === "Closed" && outcome === "failure" && isTripped(now)) {
            enter("Open")
            until = now + openFor
          } else if (tag === "HalfOpen" && outcome === "failure") {
            openFor = Math.min(openFor * 2, limits.maxOpenMillis)
            enter("Open")
            until = now + openFor
          } else if (tag === "HalfOpen") {
            if (ended.filter((one) => one.outcome === "success").length < limits.successesToClose) return
            openFor = limits.openMillis
            enter("Closed")
          }
        }
      }
    }

    it.each([
      ["either rule", common],
      ["only the share of the window", { ...common, consecutiveFailures: Infinity }]
    ])("agrees with its specification after any sequence of calls, where %s may open it", (_, limits) => {
      const visited = new Set<string>()
      FastCheck.assert(
        FastCheck.property(FastCheck.array(step, { maxLength: 200, size: "max" }), (steps) => {
          const machine = makeMachine(limits)
          const model = makeModel(limits)
          let now = 0
          let calls: ReadonlyArray<Call> = []
          for (const { action, outcome, wait } of steps) {
            now += wait
            if (action === "begin") {
              const would = machine.wouldAdmit(now)
              const permit = machine.admit(now)
              assert.strictEqual(permit !== undefined, model.begin(now))
              assert.strictEqual(would, permit !== undefined)
              if (permit !== undefined) calls = [...calls, { permit, phase: model.phase() }]
            } else {
              const ending = action === "endOldest" ? calls[0] : calls[calls.length - 1]
              if (ending === undefined) continue
              calls = calls.filter((one) => one !== ending)
              machine.settle(ending.permit, outcome, now)
              model.end(ending.phase, outcome, now)
            }
            assert.strictEqual(machine.phase()._tag, model.tag())
            visited.add(model.tag())
          }
        }),
        { numRuns: 500 }
      )
      assert.deepStrictEqual([...visited].sort(), ["Closed", "HalfOpen", "Open"])
    })
  })
})
