/**
 * What a fiber or a promise costs while it waits for a connection, and what a checkout costs that need not wait.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import { ConnectionPool, DatabaseClient, DatabaseConfig, Listener } from "effect-plinth"
import pg from "pg"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"

const waiters = 10_000
const checkouts = 20_000

/** Collects garbage: V8 shows how to only after it was told to. */
const collect = (): void => {
  setFlagsFromString("--expose_gc")
  const gc: unknown = runInNewContext("gc")
  if (typeof gc === "function") gc()
}

const heap = Effect.promise(async () => {
  for (let i = 0; i < 3; i++) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return process.memoryUsage().heapUsed
})

/** KiB that each of many forks of `wait` keeps while it waits, until what `hold` holds is given back. */
const kibPerWaiter = <E>(hold: Effect.Effect<unknown, E, Scope.Scope>, wait: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    yield* Scope.extend(hold, scope)
    const before = yield* heap
    const fibers = yield* Effect.forEach(Array.from({ length: waiters }), () => Effect.fork(wait))
    yield* Effect.sleep("500 millis")
    const used = (yield* heap) - before
    // Not interrupted: the stock client overflows its stack when 10,000 stop waiting together.
    yield* Scope.close(scope, Exit.void)
    yield* Fiber.awaitAll(fibers)
    return used / waiters / 1024
  })

const microsPerCheckout = (checkout: Effect.Effect<unknown, unknown>) =>
  Effect.gen(function* () {
    yield* Effect.repeatN(checkout, checkouts)
    const cpu = process.cpuUsage()
    yield* Effect.repeatN(checkout, checkouts - 1)
    const used = process.cpuUsage(cpu)
    return (used.user + used.system) / checkouts
  })

/** Lines of a table: KiB per waiter and microseconds per checkout. */
export const measureWaiting = (url: string): Effect.Effect<string, unknown> =>
  Effect.gen(function* () {
    const { pool: settings, primary } = yield* DatabaseConfig.make({
      url,
      minConnections: 1,
      maxConnections: 1,
      maxWaiting: 2 * waiters,
      acquireTimeout: "1 minute"
    })
    const pool = yield* ConnectionPool.make({ target: primary, settings })
    const plinth = Context.get(
      yield* Layer.build(
        DatabaseClient.layer().pipe(
          Layer.provide(Layer.succeed(ConnectionPool.ConnectionPool, pool)),
          Layer.provide(Listener.layer(primary))
        )
      ),
      PgClient.PgClient
    )
    const stock = Context.get(
      yield* Layer.build(PgClient.layer({ url: Redacted.make(url), maxConnections: 1 })),
      PgClient.PgClient
    )
    const pgPool = yield* Effect.acquireRelease(
      Effect.sync(() => new pg.Pool({ connectionString: url, max: 1 })),
      (it) => Effect.promise(() => it.end())
    )
    const held = (sql: PgClient.PgClient) => kibPerWaiter(sql.reserve, sql`SELECT 1`)
    const pgClient = Effect.acquireRelease(
      Effect.promise(() => pgPool.connect()),
      (client) => Effect.sync(() => client.release())
    )
    const rows = [
      [
        "a fiber that waits for nothing of a pool",
        yield* Effect.flatMap(Deferred.make<void>(), (gate) =>
          kibPerWaiter(
            Effect.addFinalizer(() => Deferred.succeed(gate, undefined)),
            Deferred.await(gate)
          )
        ),
        undefined
      ],
      [
        "pg-pool",
        yield* kibPerWaiter(
          pgClient,
          Effect.promise(() => pgPool.query("SELECT 1"))
        ),
        yield* microsPerCheckout(Effect.promise(async () => (await pgPool.connect()).release()))
      ],
      ["@effect/sql-pg", yield* held(stock), yield* microsPerCheckout(Effect.scoped(stock.reserve))],
      ["Plinth", yield* held(plinth), yield* microsPerCheckout(pool.use(() => Effect.void))]
    ] as const
    return [
      "| client | KiB per waiter | CPU us per checkout |",
      "| --- | ---: | ---: |",
      ...rows.map(
        ([name, kib, micros]) => `| ${name} | ${kib.toFixed(1)} | ${micros === undefined ? "" : micros.toFixed(1)} |`
      )
    ].join("\n")
  }).pipe(Effect.scoped)
