/**
 * A listener whose server stops answering, or ends.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { Database, DatabaseConfig, Listener } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "./support/clients.ts"
import { failureOf, withinSeconds } from "./support/effects.ts"
import { inRealTime, timesFaster } from "./support/fastClock.ts"
import * as FaultProxy from "./support/FaultProxy.ts"

describe("a listener", () => {
  it.scopedLive(
    "notices a connection on which nothing arrives any more, and says that it may have missed something",
    () =>
      Effect.gen(function* () {
        const { sessions, url } = yield* TestDatabase.TestDatabase
        const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
        const { primary } = yield* DatabaseConfig.make({ url: proxy.url(url), connectTimeout: "20 seconds" })
        const missed = yield* Deferred.make<void>()
        const logger = Logger.make(({ message }) => {
          if (String(message).includes("could not reconnect")) Deferred.unsafeDone(missed, Effect.void)
        })
        const { listen } = yield* timesFaster(20)(Effect.provide(Listener.make(primary), Logger.add(logger)))
        const events = yield* Queue.unbounded<Listener.Event>()
        yield* timesFaster(20)(
          listen("news").pipe(
            Stream.runForEach((event) => Queue.offer(events, event)),
            Effect.forkScoped
          )
        )
        const isListening = Effect.map(sessions, (all) => all.filter(({ query }) => query.startsWith("LISTEN")).length)
        yield* withinSeconds(
          10,
          Effect.map(isListening, (count) => count === 1)
        )
        yield* proxy.blackhole
        // Nothing tells it that the connection is gone: it finds out, and cannot have another one yet.
        yield* Deferred.await(missed)
        yield* proxy.pass
        assert.strictEqual((yield* Queue.take(events))._tag, "Gap")
        yield* Effect.flatMap(PgClient.PgClient, (sql) => sql.notify("news", "again")).pipe(
          Effect.provide(plinthAt(url, { maxConnections: 1 })),
          inRealTime
        )
        const event = yield* Queue.take(events)
        assert.strictEqual(event._tag === "Notification" ? event.payload : event._tag, "again")
      }).pipe(Effect.timeout("60 seconds"), Effect.scoped, Effect.provide(TestDatabase.layer()))
  )

  it.scopedLive("listens again when its connection died as soon as it had confirmed", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
      const { primary } = yield* DatabaseConfig.make({ url: proxy.url(url), connectTimeout: "30 seconds" })
      const listener = yield* Listener.make(primary)
      // The answer to LISTEN and the end of the session arrive together.
      yield* proxy.strike("LISTEN", { fault: "stall", on: "answer" })
      const first = yield* Effect.fork(Stream.runHead(listener.listen("died_at_once")))
      yield* Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const kill = sql`
          SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity
          WHERE datname = current_database() AND state = 'idle' AND query LIKE 'LISTEN "died_at_once"%'`
        yield* withinSeconds(
          20,
          Effect.map(kill, (killed) => killed.length === 1)
        )
      }).pipe(Effect.provide(plinthAt(url, { maxConnections: 1 })))
      yield* proxy.pass
      const event = Option.getOrThrow(yield* Effect.timeout(Fiber.join(first), "20 seconds"))
      assert.strictEqual(event._tag, "Gap")
    }).pipe(Effect.scoped, Effect.provide(TestDatabase.layer()))
  )

  it.scopedLive("is refused behind a transaction pooler, where it would hear nothing", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const listening = Effect.flatMap(PgClient.PgClient, (sql) => Stream.runDrain(sql.listen("news")))
      const error = yield* failureOf(
        Effect.provide(listening, Database.layer({ url, pooler: "pgbouncer", health: { background: false } }))
      )
      assert.include(String(error.cause), "behind a transaction pooler a session hears nothing")
    }).pipe(Effect.provide(TestDatabase.layer()))
  )
})

describe("notify", () => {
  it.scopedLive("refuses a payload that the server would not take, and says how long it is", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      yield* Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        yield* sql.withTransaction(
          Effect.gen(function* () {
            const error = yield* failureOf(sql.notify("news", "é".repeat(4_000)))
            assert.include(String(error.cause), "the payload has 8000 bytes and must have fewer than 8000")
            // Nothing was sent, so the transaction goes on.
            yield* sql.notify("news", "x".repeat(7_999))
          })
        )
      }).pipe(Effect.provide(plinthAt(url, { maxConnections: 1 })))
    }).pipe(Effect.provide(TestDatabase.layer()))
  )
})

describe("a client", () => {
  it.scopedLive("refuses what would change a session that others use", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      yield* Effect.gen(function* () {
        const sql = yield* PgClient.PgClient
        const error = yield* failureOf(sql`SET work_mem = '5MB'`)
        assert.include(String(error.cause), "SessionStatement")
        yield* sql.withTransaction(sql`SET LOCAL work_mem = '5MB'`)
      }).pipe(Effect.provide(plinthAt(url, { maxConnections: 1 })))
    }).pipe(Effect.provide(TestDatabase.layer()))
  )
})
