/**
 * The steps of the protocol at which a network can fail, and what a program may meet at each.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Stream from "effect/Stream"
import { cancelCode } from "./FaultProxy.ts"
import type { Strike } from "./FaultProxy.ts"
import type { Stage } from "./stage.ts"

/** One step of the protocol, and what a program meets that is at it when the network fails. */
export interface Step {
  readonly name: string
  /** What the client says at this step; none for a fault of connecting itself. */
  readonly said?: string
  readonly on?: ReadonlyArray<Strike["on"]>
  readonly after?: number
  /** Begins without a connection in the pool, which the step then makes. */
  readonly startsOff?: boolean
  /** Its limit is that of a connect. */
  readonly isConnect?: boolean
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

export const steps: ReadonlyArray<Step> = [
  {
    name: "TCP connect",
    startsOff: true,
    isConnect: true,
    program: ({ sql }) => sql`SELECT 1`,
    cut: ["ConnectionRefused"],
    stall: ["ConnectionRefused"],
    seconds: 20
  },
  {
    name: "startup message",
    said: "database\0",
    startsOff: true,
    isConnect: true,
    program: ({ sql }, arm) => Effect.zipRight(arm, sql`SELECT 1`),
    cut: ["ConnectionLost"],
    stall: ["ConnectionRefused"],
    seconds: 20
  },
  {
    name: "first half of the SCRAM exchange",
    said: "SCRAM-SHA-256",
    startsOff: true,
    isConnect: true,
    program: ({ sql }, arm) => Effect.zipRight(arm, sql`SELECT 1`),
    cut: ["ConnectionLost"],
    stall: ["ConnectionRefused"],
    seconds: 20
  },
  {
    name: "second half of the SCRAM exchange",
    said: ",p=",
    startsOff: true,
    isConnect: true,
    program: ({ sql }, arm) => Effect.zipRight(arm, sql`SELECT 1`),
    cut: ["ConnectionLost"],
    stall: ["ConnectionRefused"],
    seconds: 20
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
    isConnect: true,
    said: "LISTEN",
    untimed: true,
    program: ({ listener }, arm) => Effect.zipRight(arm, Stream.runDrain(listener.listen("steps"))),
    cut: ["ConnectionLost"],
    stall: ["ConnectionRefused"],
    seconds: 45
  },
  {
    name: "UNLISTEN",
    isConnect: true,
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
    seconds: 45
  }
]
