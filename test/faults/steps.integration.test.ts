/**
 * Cuts and silences a connection at every step of the protocol: each ends typed and in time, and harms nothing else.
 */
import { assert, layer } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import type { ConnectionPool } from "effect-plinth"
import { DatabaseError } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { withinSeconds } from "../support/effects.ts"
import { inRealTime, timesFaster } from "../support/fastClock.ts"
import { cancelCode } from "../support/FaultProxy.ts"
import type { Strike } from "../support/FaultProxy.ts"
import { makeScramRole } from "../support/scramRole.ts"
import * as Stages from "../support/stage.ts"
import type { Stage } from "../support/stage.ts"

/** One step of the protocol, and what a program meets that is at it when the network fails. */
interface Step {
  readonly name: string
  /** What the client says at this step; none for a fault of connecting itself. */
  readonly said?: string
  readonly on?: ReadonlyArray<Strike["on"]>
  readonly after?: number
  /** Begins without a connection, which the step then makes. */
  readonly connects?: boolean
  /** The program; `arm` makes the next saying the one that is struck. */
  readonly program: (stage: Stage, arm: Effect.Effect<void>) => Effect.Effect<unknown, unknown>
  /** Without a `statement_timeout`: the step has a limit of its own. */
  readonly untimed?: boolean
  /** What it may end with. */
  readonly cut: ReadonlyArray<string>
  readonly stall: ReadonlyArray<string>
  /** When it has ended at the latest, in seconds of the pool's time. */
  readonly seconds: number
}

/** How much faster than time the pools of this file live. */
const factor = 20
const hurried = timesFaster(factor)

/** Whether the silence begins before or after the server has what was said: the client cannot tell. */
const isLong = process.env["PLINTH_TEST_LONG"] !== undefined
const placesOf = ({ on = ["request", "answer"], said }: Step, fault: Strike["fault"]): ReadonlyArray<Strike["on"]> =>
  said === undefined ? ["request"] : fault === "cut" || isLong ? on : ["answer"]

const isConnectionFailure = (error: unknown) => DatabaseError.from(error).isConnectionFailure

let played = 0

const steps: ReadonlyArray<Step> = [
  {
    name: "TCP connect",
    connects: true,
    program: ({ sql }) => sql`SELECT 1`,
    cut: ["ConnectionRefused"],
    stall: ["ConnectionRefused"],
    seconds: 15
  },
  {
    name: "startup message",
    said: "database\0",
    connects: true,
    program: ({ sql }, arm) => Effect.zipRight(arm, sql`SELECT 1`),
    cut: ["ConnectionLost"],
    stall: ["ConnectionRefused"],
    seconds: 15
  },
  {
    name: "first half of the SCRAM exchange",
    said: "SCRAM-SHA-256",
    connects: true,
    program: ({ sql }, arm) => Effect.zipRight(arm, sql`SELECT 1`),
    cut: ["ConnectionLost"],
    stall: ["ConnectionRefused"],
    seconds: 15
  },
  {
    name: "second half of the SCRAM exchange",
    said: ",p=",
    connects: true,
    program: ({ sql }, arm) => Effect.zipRight(arm, sql`SELECT 1`),
    cut: ["ConnectionLost"],
    stall: ["ConnectionRefused"],
    seconds: 15
  },
  {
    name: "first query",
    said: "'first'",
    program: ({ sql }, arm) => Effect.zipRight(arm, sql`SELECT 'first'`),
    cut: ["ConnectionLost"],
    stall: ["ConnectionLost"],
    seconds: 15
  },
  {
    name: "middle of a row",
    said: "AS wide",
    on: ["answer"],
    after: 50_000,
    program: ({ sql }, arm) => Effect.zipRight(arm, sql`SELECT repeat('x', 200000) AS wide`),
    cut: ["ConnectionLost"],
    stall: ["ConnectionLost"],
    seconds: 15
  },
  {
    name: "time between ParseComplete and ReadyForQuery",
    said: "'parsed'",
    on: ["answer"],
    after: 5,
    program: ({ sql }, arm) => Effect.zipRight(arm, sql`SELECT 'parsed'`),
    cut: ["ConnectionLost"],
    stall: ["ConnectionLost"],
    seconds: 15
  },
  {
    name: "write outside of a transaction",
    said: "'alone'",
    program: ({ sql }, arm) => Effect.zipRight(arm, sql`INSERT INTO steps VALUES ('alone')`),
    cut: ["CommitInDoubt"],
    stall: ["CommitInDoubt"],
    seconds: 15
  },
  {
    name: "BEGIN and the first statement",
    said: "BEGIN",
    program: ({ sql }, arm) => Effect.zipRight(arm, sql.withTransaction(sql`INSERT INTO steps VALUES ('begin')`)),
    cut: ["ConnectionLost"],
    stall: ["ConnectionLost"],
    seconds: 15
  },
  {
    name: "later statement of a transaction",
    said: "'later'",
    program: ({ sql }, arm) =>
      sql.withTransaction(
        Effect.zipRight(
          sql`INSERT INTO steps VALUES ('one')`,
          Effect.zipRight(arm, sql`INSERT INTO steps VALUES ('later')`)
        )
      ),
    cut: ["ConnectionLost"],
    stall: ["ConnectionLost"],
    seconds: 15
  },
  {
    name: "SAVEPOINT",
    untimed: true,
    said: "SAVEPOINT plinth",
    program: ({ sql }, arm) =>
      sql.withTransaction(Effect.zipRight(sql`SELECT 1`, Effect.zipRight(arm, sql.withTransaction(sql`SELECT 2`)))),
    cut: ["ConnectionLost"],
    stall: ["ConnectionLost"],
    seconds: 15
  },
  {
    name: "RELEASE SAVEPOINT",
    untimed: true,
    said: "RELEASE SAVEPOINT",
    program: ({ sql }, arm) =>
      sql.withTransaction(Effect.zipRight(sql`SELECT 1`, Effect.zipRight(arm, sql.withTransaction(sql`SELECT 2`)))),
    cut: ["ConnectionLost"],
    stall: ["ConnectionLost"],
    seconds: 15
  },
  {
    name: "ROLLBACK TO SAVEPOINT",
    untimed: true,
    said: "ROLLBACK TO",
    program: ({ sql }, arm) =>
      sql.withTransaction(
        Effect.zipRight(
          sql`SELECT 1`,
          Effect.zipRight(arm, sql.withTransaction(Effect.zipRight(sql`SELECT 2`, Effect.fail("undo"))))
        )
      ),
    cut: ["undo"],
    stall: ["undo"],
    seconds: 15
  },
  {
    name: "COMMIT",
    untimed: true,
    said: "COMMIT",
    program: ({ sql }, arm) => sql.withTransaction(Effect.zipRight(sql`INSERT INTO steps VALUES ('commit')`, arm)),
    cut: ["CommitInDoubt"],
    stall: ["CommitInDoubt"],
    seconds: 40
  },
  {
    name: "COMMIT of a transaction that only read",
    untimed: true,
    said: "COMMIT",
    program: ({ sql }, arm) => sql.withTransaction(Effect.zipRight(sql`SELECT 1`, arm)),
    cut: ["ConnectionLost"],
    stall: ["ConnectionLost"],
    seconds: 40
  },
  {
    name: "ROLLBACK",
    untimed: true,
    said: "ROLLBACK",
    program: ({ sql }, arm) =>
      sql.withTransaction(
        Effect.zipRight(sql`INSERT INTO steps VALUES ('rollback')`, Effect.zipRight(arm, Effect.fail("undo")))
      ),
    cut: ["undo"],
    stall: ["undo"],
    seconds: 15
  },
  {
    name: "CancelRequest",
    untimed: true,
    said: cancelCode,
    program: ({ sql }, arm) =>
      Effect.zipRight(
        arm,
        Effect.timeoutFail(sql`SELECT pg_sleep(1.5)`, { duration: "500 millis", onTimeout: () => "interrupted" })
      ),
    cut: ["interrupted"],
    stall: ["interrupted"],
    seconds: 15
  },
  {
    name: "fetch of a stream",
    said: "plinth_stream",
    program: ({ sql }, arm) => {
      let armed = false
      const once = Effect.suspend(() => (armed ? Effect.void : ((armed = true), arm)))
      return Stream.runForEach(sql`SELECT n FROM generate_series(1, 1000) AS n`.stream, () => once)
    },
    cut: ["ConnectionLost"],
    stall: ["ConnectionLost"],
    seconds: 15
  },
  {
    name: "end of a stream whose consumer has enough",
    untimed: true,
    said: "COMMIT",
    program: ({ sql }, arm) =>
      Stream.runForEach(Stream.take(sql`SELECT n FROM generate_series(1, 1000) AS n`.stream, 1), () => arm),
    cut: ["success"],
    stall: ["success"],
    seconds: 40
  },
  {
    name: "LISTEN",
    said: "LISTEN",
    untimed: true,
    program: ({ listener }, arm) => Effect.zipRight(arm, Stream.runDrain(listener.listen("steps"))),
    cut: ["ConnectionLost"],
    stall: ["ConnectionRefused"],
    seconds: 25
  },
  {
    name: "UNLISTEN",
    said: "UNLISTEN",
    untimed: true,
    program: ({ listener, sql }, arm) =>
      Effect.scoped(
        Effect.gen(function* () {
          for (const channel of ["stays", "goes"]) {
            const heard = yield* Deferred.make<void>()
            const listening = Stream.runForEach(listener.listen(channel), () => Deferred.succeed(heard, undefined))
            yield* Effect.forkScoped(listening)
            yield* Effect.repeat(Effect.zipRight(sql.notify(channel, ""), Deferred.isDone(heard)), {
              until: (done) => done,
              schedule: Schedule.spaced("100 millis")
            })
          }
          yield* arm
        })
      ),
    cut: ["success"],
    stall: ["success"],
    seconds: 25
  }
]

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

const endsInTime = (step: Step, fault: Strike["fault"], on: Strike["on"]) =>
  Effect.gen(function* () {
    const { direct, url } = yield* Server
    const stage = yield* Stages.make(url, `step ${++played}`, {
      connectTimeout: "8 seconds",
      leakAfter: "1 hour",
      ...(step.untimed === true ? {} : { statementTimeout: "2 seconds" })
    })
    const { pool, proxy, sql } = stage
    if (step.connects === true) {
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
      hurried,
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
  }).pipe(hurried)

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
      yield* sql`SET statement_timeout = '20s'`
      yield* slow
      yield* Stages.assertSound(stage, direct)
    }).pipe(hurried)
  )
})
