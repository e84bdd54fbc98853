/**
 * Short reads of many fibers on few shared connections.
 */
import { assert, layer } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import { ConnectionPool, DatabaseConfig } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { failureOf, withinSeconds } from "../support/effects.ts"

const open = (options: DatabaseConfig.Options = {}) =>
  Effect.gen(function* () {
    const { url } = yield* TestDatabase.TestDatabase
    const { pool, primary } = yield* DatabaseConfig.make({ minConnections: 1, maxConnections: 8, ...options, url })
    return yield* ConnectionPool.make({ target: primary, settings: pool })
  })

type Pool = ConnectionPool.ConnectionPool["Type"]

const query = (text: string, params: ReadonlyArray<unknown> = []) => ({ text, params })

const many = <A, E, R>(n: number, effect: (i: number) => Effect.Effect<A, E, R>) =>
  Effect.all(
    Array.from({ length: n }, (_, i) => effect(i)),
    { concurrency: "unbounded" }
  )

const echo = (pool: Pool, i: number) =>
  Effect.map(pool.read(query("SELECT $1::int AS i, pg_backend_pid() AS pid", [i])), ([result]) => result?.rows[0])

/** Crowds the pool until it has a lane for the statement. */
const crowd = (pool: Pool, text: string, params: ReadonlyArray<unknown> = []) =>
  withinSeconds(
    20,
    Effect.map(
      Effect.zipRight(
        many(64, () => pool.read(query(text, params))),
        pool.stats
      ),
      ({ lanes }) => lanes > 0
    )
  )

layer(TestDatabase.layer(), { excludeTestServices: true })("a lane", (it) => {
  it.scoped("carries many short reads on one connection, each with its own answer", () =>
    Effect.gen(function* () {
      const pool = yield* open()
      yield* withinSeconds(
        20,
        Effect.map(
          many(64, (i) => echo(pool, i)),
          (rows) => {
            assert.deepStrictEqual(
              rows.map((row) => row?.i),
              rows.map((_, i) => i)
            )
            const pids = rows.map((row) => row?.pid)
            return pids.filter((pid) => pid === pids[63]).length > 48
          }
        )
      )
      assert.isAtMost((yield* pool.stats).lanes, 2)
    })
  )

  it.scoped("fails only the statement that failed", () =>
    Effect.gen(function* () {
      const pool = yield* open()
      const divide = (by: number) => pool.read(query("SELECT 12 / $1::int AS n", [by]))
      yield* crowd(pool, "SELECT 12 / $1::int AS n", [1])
      const exits = yield* many(60, (i) => Effect.exit(divide(i % 3)))
      for (const [i, exit] of exits.entries()) {
        if (i % 3 === 0)
          assert.strictEqual(Exit.isFailure(exit) && exit.cause._tag === "Fail" && exit.cause.error.sqlState, "22012")
        else assert.strictEqual(Exit.isSuccess(exit) && exit.value[0]?.rows[0]?.n, 12 / (i % 3))
      }
    })
  )

  it.scoped("keeps the columns of statements behind one that fails in the middle of its rows", () =>
    Effect.gen(function* () {
      const pool = yield* open()
      // Some twenty kilobytes of rows are on their way when the division fails.
      const text = "SELECT i, repeat('x', 100) AS x, 1 / ($1::int - i) AS y FROM generate_series(1, 300) AS i"
      yield* crowd(pool, text, [1_000])
      for (let round = 0; round < 40; round++) {
        const exits = yield* many(24, (i) => Effect.exit(pool.read(query(text, [i % 6 === 0 ? 250 : 1_000]))))
        for (const [i, exit] of exits.entries()) {
          assert.strictEqual(Exit.isFailure(exit), i % 6 === 0)
          if (Exit.isSuccess(exit)) assert.hasAllKeys(exit.value[0]?.rows[299], ["i", "x", "y"])
        }
      }
    })
  )

  it.scoped("runs a write that looked like a read once, on a connection of its own", () =>
    Effect.gen(function* () {
      const pool = yield* open()
      yield* pool.run([query("CREATE SEQUENCE lane_sequence")])
      const next = "SELECT nextval('lane_sequence')::int AS n"
      const taken: Array<number> = []
      for (let round = 0; round < 8; round++) {
        const results = yield* many(32, () => pool.read(query(next)))
        taken.push(...results.map(([result]) => Number(result?.rows[0]?.n)))
      }
      assert.deepStrictEqual(
        taken.sort((a, b) => a - b),
        Array.from({ length: 256 }, (_, i) => i + 1)
      )
    })
  )

  it.scoped("shows its settings to nobody", () =>
    Effect.gen(function* () {
      const pool = yield* open()
      yield* crowd(pool, "SELECT 1")
      for (const text of [
        "SHOW statement_timeout",
        "SELECT current_setting('statement_timeout') AS statement_timeout"
      ]) {
        for (let round = 0; round < 3; round++) {
          const results = yield* many(64, () => pool.read(query(text)))
          assert.deepStrictEqual([...new Set(results.map(([result]) => result?.rows[0]?.statement_timeout))], ["0"])
        }
      }
    })
  )

  it.scoped("cancels nobody when a fiber stops waiting", () =>
    Effect.gen(function* () {
      const pool = yield* open()
      yield* crowd(pool, "SELECT $1::int AS i, pg_backend_pid() AS pid", [1])
      for (let round = 0; round < 50; round++) {
        const fibers = yield* many(32, (i) => Effect.fork(echo(pool, i)))
        yield* Effect.yieldNow()
        yield* Effect.forEach(fibers, (fiber, i) =>
          Effect.flatMap(Random.nextBoolean, (interrupted) =>
            interrupted ? Fiber.interrupt(fiber) : Effect.map(Fiber.join(fiber), (row) => assert.strictEqual(row?.i, i))
          )
        )
      }
      yield* withinSeconds(
        5,
        Effect.map(pool.stats, ({ lanes, used, waiting }) => used === lanes && waiting === 0)
      )
      assert.strictEqual((yield* pool.stats).leaks, 0)
    })
  )

  it.scoped("loses no read when its backend is killed", () =>
    Effect.gen(function* () {
      const pool = yield* open()
      const killer = yield* open({ maxConnections: 1 })
      for (let round = 0; round < 5; round++) {
        yield* crowd(pool, "SELECT $1::int AS i, pg_backend_pid() AS pid", [1])
        const rows = yield* many(64, (i) => echo(pool, i))
        const kill = killer.run([query("SELECT pg_terminate_backend($1)", [rows[63]?.pid])])
        const reads = many(20, () => many(64, (i) => echo(pool, i)))
        const [answers] = yield* Effect.all([reads, kill], { concurrency: 2 })
        for (const answer of answers) {
          assert.deepStrictEqual(
            answer.map((row) => row?.i),
            answer.map((_, i) => i)
          )
        }
      }
    })
  )

  it.scoped("holds up nobody behind a statement that is slow for once", () =>
    Effect.gen(function* () {
      const pool = yield* open()
      const text = "SELECT pg_sleep($1::float8)"
      yield* crowd(pool, text, [0])
      const order: Array<string> = []
      const sleep = (seconds: number, name: string) =>
        Effect.map(pool.read(query(text, [seconds])), () => void order.push(name))
      yield* many(33, (i) => (i === 8 ? sleep(0.8, "slow") : sleep(0, "fast")))
      assert.strictEqual(order.indexOf("slow"), 32)
    })
  )

  it.scoped("runs elsewhere what the server ended because it kept the lane too long", () =>
    Effect.gen(function* () {
      const pool = yield* open()
      const text = "SELECT pg_sleep($1::float8), 7 AS n"
      yield* crowd(pool, text, [0])
      const [result] = yield* pool.read(query(text, [1.3]))
      assert.strictEqual(result?.rows[0]?.n, 7)
    })
  )

  it.scoped("gives its connection back as it was when nobody crowds any more", () =>
    Effect.gen(function* () {
      const pool = yield* open({ statementTimeout: "20 seconds" })
      yield* crowd(pool, "SELECT 1")
      yield* withinSeconds(
        10,
        Effect.map(pool.stats, ({ lanes, used }) => lanes === 0 && used === 0)
      )
      const settings = yield* many(8, () =>
        pool.run([
          query(
            "SELECT current_setting('default_transaction_read_only') AS ro, current_setting('statement_timeout') AS timeout, pg_sleep(0.05)"
          )
        ])
      )
      for (const [result] of settings) assert.deepInclude(result?.rows[0], { ro: "off", timeout: "20s" })
    })
  )

  it.scoped("is given up when the pool becomes too small for it", () =>
    Effect.gen(function* () {
      const pool = yield* open()
      yield* crowd(pool, "SELECT 1")
      yield* pool.resize({ min: 1, max: 1 })
      yield* Effect.timeoutFail(pool.run([query("SELECT 2")]), {
        duration: "5 seconds",
        onTimeout: () => new Error("the only connection was not given back")
      })
      assert.strictEqual((yield* pool.stats).lanes, 0)
    })
  )

  it.scoped("keeps a shorter statement timeout than its own", () =>
    Effect.gen(function* () {
      const pool = yield* open({ statementTimeout: "200 millis" })
      const text = "SELECT pg_sleep($1::float8), 1 AS n"
      yield* crowd(pool, text, [0])
      const error = yield* failureOf(pool.read(query(text, [0.7])))
      assert.strictEqual(error.reason, "StatementTimeout")
    })
  )

  it.scoped("gives back the settings that it found", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const settings = yield* DatabaseConfig.make({ minConnections: 1, maxConnections: 8, url })
      const pool = yield* ConnectionPool.make({
        target: settings.primary,
        settings: settings.pool,
        onOpen: (connection) =>
          Effect.asVoid(connection.run([query("SELECT set_config('statement_timeout', '7s', false)")]))
      })
      yield* crowd(pool, "SELECT 1")
      yield* withinSeconds(
        10,
        Effect.map(pool.stats, ({ lanes, used }) => lanes === 0 && used === 0)
      )
      const found = yield* many(8, () =>
        pool.run([query("SELECT current_setting('statement_timeout') AS t, pg_sleep(0.05)")])
      )
      for (const [result] of found) assert.strictEqual(result?.rows[0]?.t, "7s")
    })
  )

  it.scoped("lets short reads past the slow statements that everything else is waiting for", () => {
    const text = "SELECT 1 AS one"
    const attempt = Effect.gen(function* () {
      const pool = yield* open()
      yield* crowd(pool, text)
      const blocker = yield* pool.reserve
      yield* blocker.run([query("SELECT pg_advisory_lock(77)")])
      const slow = yield* Effect.fork(many(20, () => pool.run([query("SELECT pg_advisory_xact_lock_shared(77)")])))
      yield* withinSeconds(
        10,
        Effect.map(pool.stats, ({ used, waiting }) => used === 8 && waiting > 0)
      )
      // One by one, with pauses in which nobody needs the lane.
      const reads = Effect.repeatN(Effect.delay(pool.read(query(text)), "30 millis"), 9)
      const passed = Option.isSome(yield* Effect.timeoutOption(reads, "2 seconds"))
      const stillWaiting = (yield* pool.stats).waiting > 0
      yield* blocker.run([query("SELECT pg_advisory_unlock(77)")])
      yield* Fiber.join(slow)
      return passed && stillWaiting
    })
    // A process that stands still for longer than an empty lane is kept may try again.
    return withinSeconds(40, Effect.scoped(attempt))
  })

  it.scoped("goes to who waits for a connection, when nobody needs it", () =>
    Effect.gen(function* () {
      const pool = yield* open({ maxConnections: 4 })
      yield* crowd(pool, "SELECT 1")
      const slow = yield* many(3, () => Effect.fork(pool.run([query("SELECT pg_sleep(2)")])))
      yield* withinSeconds(
        5,
        Effect.map(pool.stats, ({ used }) => used === 4)
      )
      const [took] = yield* Effect.timed(pool.run([query("SELECT 2")]))
      assert.isBelow(Duration.toMillis(took), 1_500)
      yield* Fiber.interruptAll(slow)
    })
  )

  it.scoped("takes no connection of a small pool", () =>
    Effect.gen(function* () {
      const pool = yield* open({ maxConnections: 3 })
      for (let round = 0; round < 5; round++) yield* many(64, (i) => echo(pool, i))
      assert.strictEqual((yield* pool.stats).lanes, 0)
    })
  )

  it.effect("does not keep its pool from closing", () =>
    Effect.gen(function* () {
      const { sessions } = yield* TestDatabase.TestDatabase
      yield* Effect.scoped(Effect.flatMap(open(), (pool) => crowd(pool, "SELECT 1")))
      yield* withinSeconds(
        5,
        Effect.map(sessions, (open) => open.length === 0)
      )
    })
  )
})
