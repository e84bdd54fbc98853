/**
 * Cuts and silences a connection at every step of the protocol: each ends typed and in time, and harms nothing else.
 */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { ConnectionPool, DatabaseConfig, DatabaseError } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { withinSeconds } from "../support/effects.ts"
import { inRealTime, timesFaster } from "../support/fastClock.ts"
import * as FaultProxy from "../support/FaultProxy.ts"
import type { Strike } from "../support/FaultProxy.ts"
import { makeScramRole } from "../support/scramRole.ts"
import * as Stages from "../support/stage.ts"
import { steps } from "../support/protocolSteps.ts"
import type { Step } from "../support/protocolSteps.ts"

/** How much faster than time the pools of this file live. */
const factor = 20
const hurried = timesFaster(factor)

/** Whether the silence begins before or after the server has what was said: the client cannot tell. */
const isLong = process.env["PLINTH_TEST_LONG"] !== undefined
const placesOf = ({ on = ["request", "answer"], said }: Step, fault: Strike["fault"]): ReadonlyArray<Strike["on"]> =>
  said === undefined ? ["request"] : fault === "cut" || isLong ? on : ["answer"]

const isConnectionFailure = (error: unknown) => DatabaseError.from(error).isConnectionFailure

let played = 0

/** A server that asks for passwords, the URL of a role that has one, and a way past all proxies. */
class Server extends Context.Tag("test/faults/Server")<
  Server,
  { readonly url: Redacted.Redacted; readonly direct: ConnectionPool.ConnectionPool["Type"] }
>() {}

const server = Layer.scoped(
  Server,
  Effect.gen(function* () {
    const cluster = yield* EmbeddedPostgres.EmbeddedPostgres
    const direct = yield* Stages.openDirect(cluster.url)
    const url = yield* makeScramRole(cluster, direct, "app", "correct horse")
    yield* direct.run([Stages.query("CREATE TABLE steps (word text)")])
    yield* direct.run([Stages.query("GRANT ALL ON steps TO app")])
    return { url, direct }
  })
).pipe(Layer.provide(EmbeddedPostgres.layer()))

const endsInTime = (step: Step, fault: Strike["fault"], on: Strike["on"]) => {
  // Nothing waits for a deadline when a connection is cut.
  const pace = fault === "cut" ? inRealTime : hurried
  return Effect.gen(function* () {
    const { direct, url } = yield* Server
    const options: DatabaseConfig.Options = {
      // Also the time that a slow machine has to connect.
      connectTimeout: step.isConnect === true ? "16 seconds" : "1 minute",
      acquireTimeout: "2 minutes",
      leakAfter: "1 hour",
      ...(step.untimed === true ? {} : { statementTimeout: "2 seconds" })
    }
    const stage = yield* Effect.retry(Stages.make(url, `step ${++played}`, options), { times: 3 })
    const { pool, proxy, sql } = stage
    if (step.startsOff === true) {
      yield* proxy.reset
      yield* withinSeconds(
        100,
        Effect.map(pool.stats, ({ total }) => total === 0)
      )
    }
    const arm =
      step.said === undefined
        ? fault === "cut"
          ? proxy.refuse
          : proxy.blackhole
        : proxy.strike(step.said, { fault, on, after: step.after })
    const program = step.said === undefined ? Effect.zipRight(arm, step.program(stage, arm)) : step.program(stage, arm)
    const outcome = yield* Stages.outcomeOf(program).pipe(
      pace,
      Effect.disconnect,
      // Room for a machine that is slow; what hangs would hang for ever.
      (ends) =>
        inRealTime(
          Effect.timeoutFail(ends, {
            duration: Duration.sum(Duration.seconds(step.seconds / factor), "10 seconds"),
            onTimeout: () => new Error("it hangs")
          })
        )
    )
    assert.isTrue(yield* proxy.struck, "the step was not reached")
    assert.include(step[fault], outcome)
    yield* proxy.pass
    // At this pace a machine that is slow for half a second exceeds the connect timeout.
    const next = Effect.retry(sql`SELECT 1 AS one`, { times: 5, while: isConnectionFailure })
    assert.deepStrictEqual(yield* next, [{ one: 1 }])
    yield* Stages.assertSound(stage, direct)
  }).pipe(pace)
}

layer(server, { excludeTestServices: true, timeout: 60_000 })("a connection", (it) => {
  for (const step of steps) {
    for (const fault of ["cut", "stall"] as const) {
      for (const on of placesOf(step, fault)) {
        const what = `${fault === "cut" ? "is cut" : "falls silent"} at the ${on} of the ${step.name}`
        it.scoped(`that ${what} ends what runs typed and in time, and nothing else`, () => endsInTime(step, fault, on))
      }
    }
  }

  it.scoped("that was given another statement_timeout is waited for until its transaction is over", () =>
    Effect.gen(function* () {
      const { direct, url } = yield* Server
      const stage = yield* Stages.make(url, "own timeout", { statementTimeout: "2 seconds", maxConnections: 1 })
      const { sql } = stage
      // A second is twenty for the pool, which gives the server seven.
      const slow = sql`SELECT pg_sleep(1)`
      yield* sql.withTransaction(Effect.zipRight(sql`SET LOCAL statement_timeout = '20s'`, slow))
      assert.strictEqual(yield* Stages.outcomeOf(slow), "ConnectionLost")
      yield* Effect.scoped(
        Effect.flatMap(sql.reserve, (session) =>
          session.executeUnprepared("SET statement_timeout = '20s'", [], undefined)
        )
      )
      yield* slow
      yield* Stages.assertSound(stage, direct)
    }).pipe(hurried)
  )

  it.effect("leaves nothing of a transaction whose COMMIT was not sent", () =>
    Effect.gen(function* () {
      const { direct } = yield* Server
      const [result] = yield* direct.run([Stages.query("SELECT DISTINCT word FROM steps")])
      assert.includeMembers(["alone", "commit"], result?.rows.map(({ word }) => word) ?? ["nothing was answered"])
    })
  )

  it.scoped("that is silent while a new one is prepared for use does not keep others from being opened", () =>
    Effect.gen(function* () {
      const { direct, url } = yield* Server
      const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
      const config = yield* DatabaseConfig.make({
        url: proxy.url(url),
        connectTimeout: "16 seconds",
        acquireTimeout: "2 minutes",
        minConnections: 0,
        maxConnections: 1,
        applicationName: "prepared"
      })
      const pool = yield* ConnectionPool.make({
        target: config.primary,
        settings: config.pool,
        lazy: true,
        onOpen: (connection) => Effect.asVoid(connection.run([Stages.query("SELECT 'prepare'")]))
      })
      yield* proxy.strike("'prepare'", { fault: "stall", on: "answer" })
      const outcome = yield* Stages.outcomeOf(pool.run([Stages.query("SELECT 1")]))
      assert.strictEqual(outcome, "ConnectionRefused")
      yield* proxy.pass
      yield* Effect.retry(pool.run([Stages.query("SELECT 1")]), { times: 5, while: isConnectionFailure })
      yield* Stages.assertSound({ name: "prepared", pool }, direct)
    }).pipe(hurried)
  )
})
