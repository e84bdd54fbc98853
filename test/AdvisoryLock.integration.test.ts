/**
 * Advisory locks on a real server.
 */
import * as SqlClient from "@effect/sql/SqlClient"
import { assert, layer } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { AdvisoryLock, ConnectionPool, Transaction } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "./support/clients.ts"
import { failureOf, withinSeconds } from "./support/effects.ts"
import * as FaultProxy from "./support/FaultProxy.ts"

const client = (max = 4) =>
  Layer.unwrapEffect(
    Effect.map(TestDatabase.TestDatabase, ({ url }) => plinthAt(url, { minConnections: 1, maxConnections: max }))
  )

/** Forks what holds the lock until it is told to go on. */
const holding = (key: AdvisoryLock.Key, options?: AdvisoryLock.LockOptions) =>
  Effect.gen(function* () {
    const held = yield* Deferred.make<void>()
    const go = yield* Deferred.make<void>()
    const fiber = yield* Effect.fork(
      AdvisoryLock.withLock(Effect.zipRight(Deferred.succeed(held, undefined), Deferred.await(go)), key, options)
    )
    yield* Deferred.await(held)
    return { fiber, end: Effect.zipRight(Deferred.succeed(go, undefined), Fiber.join(fiber)) }
  })

const isFree = (key: AdvisoryLock.Key) =>
  Effect.map(Effect.exit(AdvisoryLock.withLock(Effect.void, key, { wait: false })), Exit.isSuccess)

layer(TestDatabase.layer(), { excludeTestServices: true })("AdvisoryLock.withLock", (it) => {
  it.effect("lets one in at a time, by name, number or pair, in either scope", () =>
    Effect.gen(function* () {
      for (const key of ["nightly", 2n ** 62n, [7, -1]] as const) {
        for (const scope of ["session", "transaction"] as const) {
          let inside = 0
          let most = 0
          const work = Effect.gen(function* () {
            most = Math.max(most, ++inside)
            yield* Effect.yieldNow()
            inside--
          })
          yield* Effect.all(
            Array.from({ length: 3 }, () => AdvisoryLock.withLock(work, key, { scope })),
            { concurrency: 3 }
          )
          assert.strictEqual(most, 1)
        }
      }
    }).pipe(Effect.provide(client()))
  )

  it.effect("does not wait where it is told so, or waits for a time, and says for what", () =>
    Effect.gen(function* () {
      const { end } = yield* holding("busy")
      for (const scope of ["session", "transaction"] as const) {
        const refused = yield* failureOf(AdvisoryLock.withLock(Effect.void, "busy", { wait: false, scope }))
        assert.strictEqual(refused.reason, "LockTimeout")
        assert.include(refused.message, 'the advisory lock "busy" is held by another session')
        const late = yield* failureOf(AdvisoryLock.withLock(Effect.void, "busy", { wait: "50 millis", scope }))
        assert.include(late.message, "was not given back within 50ms")
      }
      assert.isTrue(yield* isFree("another"))
      yield* end
      assert.isTrue(yield* isFree("busy"))
    }).pipe(Effect.provide(client()))
  )

  it.effect("is shared by those who share it", () =>
    Effect.gen(function* () {
      const one = yield* holding("shared", { shared: true })
      const two = yield* holding("shared", { shared: true })
      assert.isFalse(yield* isFree("shared"))
      yield* one.end
      assert.isFalse(yield* isFree("shared"))
      yield* two.end
      assert.isTrue(yield* isFree("shared"))
    }).pipe(Effect.provide(client()))
  )

  it.effect("gives the lock back when the effect fails, dies or is interrupted, and when the wait is", () =>
    Effect.gen(function* () {
      for (const effect of [Effect.fail("no"), Effect.die("no"), Effect.interrupt]) {
        yield* Effect.exit(AdvisoryLock.withLock(effect, "back"))
        assert.isTrue(yield* isFree("back"))
      }
      const { end, fiber } = yield* holding("back")
      const sql = yield* SqlClient.SqlClient
      const waiting = yield* Effect.fork(AdvisoryLock.withLock(Effect.void, "back"))
      yield* withinSeconds(
        10,
        Effect.map(sql`SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`, (rows) => rows.length === 1)
      )
      yield* Fiber.interrupt(waiting)
      assert.isFalse(yield* isFree("back"))
      yield* end
      yield* Fiber.await(fiber)
      assert.isTrue(yield* isFree("back"))
      const { stats } = yield* ConnectionPool.ConnectionPool
      assert.strictEqual((yield* stats).used, 0)
    }).pipe(Effect.provide(client()))
  )

  it.effect("keeps it until the end of the transaction that it is in, which goes on after a wait in vain", () =>
    Effect.gen(function* () {
      const sql = yield* SqlClient.SqlClient
      const { end } = yield* holding("held")
      yield* Transaction.run(
        Effect.gen(function* () {
          yield* AdvisoryLock.withLock(Effect.void, "kept", { scope: "transaction" })
          assert.isFalse(yield* isFree("kept"))
          yield* failureOf(AdvisoryLock.withLock(Effect.void, "held", { scope: "transaction", wait: "20 millis" }))
          assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
        })
      )
      yield* end
      assert.isTrue(yield* isFree("kept"))
    }).pipe(Effect.provide(client()))
  )

  it.effect("finds locks that are taken in a circle", () =>
    Effect.gen(function* () {
      const first = yield* Deferred.make<void>()
      const second = yield* Deferred.make<void>()
      const both = (outer: string, inner: string, mine: Deferred.Deferred<void>, other: Deferred.Deferred<void>) =>
        AdvisoryLock.withLock(
          Effect.zipRight(
            Effect.zipRight(Deferred.succeed(mine, undefined), Deferred.await(other)),
            AdvisoryLock.withLock(Effect.void, inner, { scope: "transaction" })
          ),
          outer,
          { scope: "transaction" }
        )
      const exits = yield* Effect.all(
        [Effect.either(both("a", "b", first, second)), Effect.either(both("b", "a", second, first))],
        { concurrency: 2 }
      )
      const reasons = exits.flatMap((exit) => (exit._tag === "Left" ? [exit.left.reason] : []))
      assert.deepStrictEqual(reasons, ["DeadlockDetected"])
    }).pipe(Effect.provide(client()))
  )

  it.scoped("interrupts the effect when the session that has the lock is lost", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
      yield* Effect.gen(function* () {
        const interrupted = yield* Deferred.make<void>()
        const started = yield* Deferred.make<void>()
        const work = Effect.zipRight(Deferred.succeed(started, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Deferred.succeed(interrupted, undefined))
        )
        const fiber = yield* Effect.fork(failureOf(AdvisoryLock.withLock(work, "lost")))
        yield* Deferred.await(started)
        yield* proxy.reset
        assert.strictEqual((yield* Fiber.join(fiber)).reason, "ConnectionLost")
        yield* Deferred.await(interrupted)
      }).pipe(Effect.provide(plinthAt(proxy.url(url), { minConnections: 1, maxConnections: 2 })))
    })
  )

  it.effect("is refused behind a transaction pooler, which would hand its session on", () =>
    Effect.gen(function* () {
      const refused = yield* failureOf(AdvisoryLock.withLock(Effect.void, "pooled"))
      assert.strictEqual(refused.reason, "SessionStatement")
      assert.include(refused.message, 'use scope "transaction"')
      yield* AdvisoryLock.withLock(Effect.void, "pooled", { scope: "transaction" })
    }).pipe(
      Effect.provide(
        Layer.unwrapEffect(
          Effect.map(TestDatabase.TestDatabase, ({ url }) => plinthAt(url, { maxConnections: 2, pooler: "pgbouncer" }))
        )
      )
    )
  )
})
