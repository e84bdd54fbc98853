import { assert, describe, it } from "@effect/vitest"
import { DatabaseError as DatabaseErrors, RetryPolicy } from "effect-plinth"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import * as TestClock from "effect/TestClock"
import type { Reason } from "../src/DatabaseError.ts"

const failureOf = (reason: Reason) =>
  new DatabaseErrors.DatabaseError({ reason, operation: "query", description: "it failed" })

/** Runs a call that always fails this way under a policy until the policy gives up; how often, and for how long. */
const exhaust = Effect.fnUntraced(function* (policy: RetryPolicy.RetryPolicy, error: unknown) {
  const tries = yield* Ref.make<ReadonlyArray<number>>([])
  const attempt = TestClock.currentTimeMillis.pipe(
    Effect.flatMap((now) => Ref.update(tries, (times) => [...times, now])),
    Effect.zipRight(Effect.fail(error))
  )
  const fiber = yield* Effect.fork(Effect.retry(attempt, policy))
  yield* TestClock.adjust("1 hour")
  assert.isTrue(Exit.isFailure(yield* Fiber.await(fiber)))
  const times = yield* Ref.get(tries)
  return { tries: times.length, waits: times.slice(1).map((time, index) => time - (times[index] ?? 0)) }
})

describe("RetryPolicy", () => {
  it.effect.each([
    ["connect", RetryPolicy.connect, "ConnectionRefused", 11, 100, 5_000],
    ["transaction", RetryPolicy.transaction, "SerializationFailure", 5, 10, 1_000],
    ["ddlLock", RetryPolicy.ddlLock, "LockTimeout", 11, 500, 30_000]
  ] as const)("%s stops, doubles its waits and caps them", ([_, policy, reason, tries, initial, max]) =>
    Effect.gen(function* () {
      const run = yield* exhaust(policy, failureOf(reason))
      assert.strictEqual(run.tries, tries)
      run.waits.forEach((wait, index) => {
        const span = Math.min(initial * 2 ** index, max)
        assert.isAtMost(wait, span, `wait ${index}`)
        assert.isAtLeast(wait, Math.floor(span / 2), `wait ${index}`)
      })
    })
  )

  it.effect("does not wait equally long in two runs", () =>
    Effect.gen(function* () {
      const runs = yield* Effect.replicateEffect(
        exhaust(RetryPolicy.ddlLock, failureOf("LockTimeout")).pipe(Effect.map(({ waits }) => waits.join())),
        5
      )
      assert.isAbove(new Set(runs).size, 1)
    })
  )

  const policies = [
    ["connect", RetryPolicy.connect],
    ["transaction", RetryPolicy.transaction],
    ["ddlLock", RetryPolicy.ddlLock]
  ] as const

  it.effect.each(policies)("%s never tries again what stays wrong or may have happened", ([_, policy]) =>
    Effect.gen(function* () {
      const reasons: ReadonlyArray<Reason> = [
        "UniqueViolation",
        "CheckViolation",
        "SyntaxError",
        "InsufficientPrivilege",
        "AuthenticationFailed",
        "CommitInDoubt",
        "RecoveryConflict",
        "StatementTimeout",
        "BreakerOpen"
      ]
      for (const reason of reasons) {
        assert.strictEqual((yield* exhaust(policy, failureOf(reason))).tries, 1, reason)
      }
    })
  )

  it.effect("looks through a client's SqlError", () =>
    Effect.gen(function* () {
      const conflict = DatabaseErrors.toSqlError(failureOf("DeadlockDetected"))
      assert.strictEqual((yield* exhaust(RetryPolicy.transaction, conflict)).tries, 5)
    })
  )

  it.effect("leaves an application's own failure alone, whatever it says", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* exhaust(RetryPolicy.connect, new Error("Connection terminated"))).tries, 1)
    })
  )

  describe("budget", () => {
    /** How many of this many withdrawals are granted. */
    const grantedOf = (budget: RetryPolicy.RetryBudget, count: number) =>
      Effect.map(Effect.replicateEffect(budget.withdraw, count), (answers) => answers.filter(Boolean).length)

    it.effect("grants a tenth of the recent calls, and a few when there were few", () =>
      Effect.gen(function* () {
        const budget = yield* RetryPolicy.makeBudget()
        assert.strictEqual(yield* grantedOf(budget, 100), 10)
        yield* Effect.replicateEffect(budget.deposit, 1_000)
        assert.strictEqual(yield* grantedOf(budget, 1_000), 90)
      })
    )

    it.effect("forgets calls and retries when the window has passed, slot by slot", () =>
      Effect.gen(function* () {
        const budget = yield* RetryPolicy.makeBudget({ share: 0.5, minRetries: 0, window: "10 seconds" })
        yield* Effect.replicateEffect(budget.deposit, 10)
        yield* TestClock.adjust("5 seconds")
        yield* Effect.replicateEffect(budget.deposit, 20)
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(yield* grantedOf(budget, 100), 10)
        yield* TestClock.adjust("5 seconds")
        assert.strictEqual(yield* grantedOf(budget, 100), 0)
        yield* TestClock.adjust("10 seconds")
        yield* Effect.replicateEffect(budget.deposit, 4)
        assert.strictEqual(yield* grantedOf(budget, 100), 2)
      })
    )

    /** Many calls fail this way at once; how often they were tried together. */
    const storm = Effect.fnUntraced(function* (reason: Reason, calls: number) {
      const budget = yield* RetryPolicy.makeBudget({ window: "1 hour" })
      const tries = yield* Ref.make(0)
      const call = Ref.update(tries, (count) => count + 1).pipe(
        Effect.zipRight(Effect.fail(failureOf(reason))),
        RetryPolicy.retry(RetryPolicy.transaction, { budget }),
        Effect.ignore
      )
      const fiber = yield* Effect.fork(Effect.replicateEffect(call, calls, { concurrency: "unbounded", discard: true }))
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(fiber)
      return yield* Ref.get(tries)
    })

    it.effect("keeps retries of a dead node to a tenth", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* storm("ConnectionRefused", 1_000), 1_100)
      })
    )

    it.effect("does not bound conflicts between transactions", () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* storm("SerializationFailure", 200), 1_000)
      })
    )
  })

  it.effect("retry gives back the last failure and needs no budget", () =>
    Effect.gen(function* () {
      const failure = failureOf("ConnectionLost")
      const fiber = yield* Effect.fork(Effect.flip(RetryPolicy.retry(Effect.fail(failure), RetryPolicy.transaction)))
      yield* TestClock.adjust(Duration.minutes(1))
      assert.strictEqual(yield* Fiber.join(fiber), failure)
    })
  )
})
