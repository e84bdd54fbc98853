/**
 * A client behind a fault proxy: what a test of faults breaks, and what must be true of it afterwards.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { ConnectionPool, DatabaseConfig, DatabaseError, Listener, Transaction } from "effect-plinth"
import { plinthAt } from "./clients.ts"
import { withinSeconds } from "./effects.ts"
import { inRealTime } from "./fastClock.ts"
import * as FaultProxy from "./FaultProxy.ts"

export interface Stage {
  readonly name: string
  readonly proxy: FaultProxy.FaultProxy
  readonly pool: ConnectionPool.ConnectionPool["Type"]
  readonly sql: PgClient.PgClient
  readonly transaction: Transaction.Transaction["Type"]
  readonly listener: Listener.Listener["Type"]
}

/** Opens a client behind a proxy of its own; `name` tells its sessions from those of others. */
export const make = (url: Redacted.Redacted, name: string, options: DatabaseConfig.Options = {}) =>
  Effect.gen(function* () {
    const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
    const context = yield* Layer.build(
      Layer.fresh(plinthAt(proxy.url(url), { minConnections: 0, maxConnections: 2, applicationName: name, ...options }))
    )
    const stage: Stage = {
      name,
      proxy,
      pool: Context.get(context, ConnectionPool.ConnectionPool),
      sql: Context.get(context, PgClient.PgClient),
      transaction: Context.get(context, Transaction.Transaction),
      listener: Context.get(context, Listener.Listener)
    }
    return stage
  })

/** A pool past every proxy, to look from and to kill from. */
export const openDirect = (url: Redacted.Redacted) =>
  Effect.flatMap(
    DatabaseConfig.make({ url, minConnections: 1, maxConnections: 2, applicationName: "test admin" }),
    ({ pool, primary }) => ConnectionPool.make({ target: primary, settings: pool })
  )

export const query = (text: string, params: ReadonlyArray<unknown> = []) => ({ text, params })

/** The reason of a typed failure, "success", or what else it failed with; a defect fails the test. */
export const outcomeOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<string, Error, R> =>
  Effect.flatMap(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) return Effect.succeed("success")
    const failure = Cause.failureOption(exit.cause)
    if (Option.isNone(failure)) return Effect.fail(new Error(`a defect: ${Cause.pretty(exit.cause)}`))
    const error = DatabaseError.find(failure.value)
    return Effect.succeed(Option.isSome(error) ? error.value.reason : String(failure.value))
  })

type Pool = ConnectionPool.ConnectionPool["Type"]

/** Nobody holds a connection or waits for one, and the counters add up. */
export const assertSettled = (pool: Pool) =>
  Effect.gen(function* () {
    yield* inRealTime(
      withinSeconds(
        15,
        Effect.map(pool.stats, ({ lanes, opening, used, waiting }) => used === lanes && waiting === 0 && opening === 0)
      )
    )
    const { closed, leaks, opened, total } = yield* pool.stats
    assert.strictEqual(opened - Object.values(closed).reduce((sum, n) => sum + n, 0), total)
    assert.strictEqual(leaks, 0)
  })

/** The pool is settled, and the server has no session that it lost. */
export const assertSound = ({ name, pool }: Pick<Stage, "name" | "pool">, direct: Pool) =>
  Effect.gen(function* () {
    yield* assertSettled(pool)
    const sessions = direct.run([
      query("SELECT state FROM pg_stat_activity WHERE application_name IN ($1, $1 || ' listener')", [name])
    ])
    yield* inRealTime(
      withinSeconds(
        15,
        Effect.map(
          Effect.all([sessions, pool.stats]),
          ([[result], { total }]) => result?.rows.length === total && result.rows.every(({ state }) => state === "idle")
        )
      )
    )
  })
