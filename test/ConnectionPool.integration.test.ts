/**
 * One pool against a real server.
 */
import { assert, layer } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as MetricState from "effect/MetricState"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Redacted from "effect/Redacted"
import * as Stream from "effect/Stream"
import { ConnectionPool, DatabaseConfig, DatabaseError } from "effect-plinth"
import { EmbeddedPostgres } from "effect-plinth/embedded"
import { TestDatabase } from "effect-plinth/testing"
import { failureOf, withinSeconds } from "./support/effects.ts"
import * as FaultProxy from "./support/FaultProxy.ts"

const rounds = process.env["PLINTH_TEST_LONG"] === undefined ? 200 : 1_000

const open = (url: Redacted.Redacted, options: DatabaseConfig.Options = {}) =>
  Effect.flatMap(DatabaseConfig.make({ minConnections: 1, maxConnections: 3, ...options, url }), ({ pool, primary }) =>
    ConnectionPool.make({ target: primary, settings: pool })
  )

const query = (text: string, params: ReadonlyArray<unknown> = []) => ({ text, params })

layer(TestDatabase.layer(), { excludeTestServices: true })("a pool", (it) => {
  it.scoped("neither leaks nor cancels another statement when fibers are interrupted at random", () =>
    Effect.gen(function* () {
      const { sessions, url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url)
      const worker = (tag: number) =>
        Effect.gen(function* () {
          const patience = yield* Random.nextIntBetween(0, 12)
          const statement = pool.run([query("SELECT $1::int AS tag, pg_sleep(0.004)", [tag])])
          const outcome = yield* Effect.exit(Effect.timeoutOption(statement, Duration.millis(patience)))
          // Whoever was not interrupted gets its own rows, and never hears of somebody else's cancellation.
          if (Exit.isFailure(outcome)) return yield* outcome
          if (Option.isSome(outcome.value)) assert.strictEqual(outcome.value.value[0]?.rows[0]?.tag, tag)
        })
      yield* Effect.forEach(
        Array.from({ length: rounds }, (_, i) => i),
        worker,
        { concurrency: 12, discard: true }
      )
      yield* withinSeconds(
        5,
        Effect.map(pool.stats, ({ used, waiting }) => used === 0 && waiting === 0)
      )
      const { closed, leaks, opened, total } = yield* pool.stats
      assert.strictEqual(leaks, 0)
      assert.isAtMost(total, 3)
      assert.strictEqual(opened - Object.values(closed).reduce((sum, n) => sum + n, 0), total)
      assert.isTrue((yield* sessions).every(({ state }) => state === "idle"))
    })
  )

  it.scoped("runs a statement once, elsewhere, when the server had ended the session before it came", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const proxy = yield* FaultProxy.make(Number(new URL(Redacted.value(url)).port))
      const direct = yield* open(url)
      const pool = yield* open(proxy.url(url), { maxConnections: 1 })
      yield* direct.run([query("CREATE TABLE session_ended (id int)")])
      // Both ways the statement meets: prepared already, and not.
      for (const text of ["SELECT 1", "INSERT INTO session_ended VALUES (1)"]) {
        const [backend] = yield* pool.run([query("SELECT pg_backend_pid() AS pid")])
        // The server's farewell is still on its way when the statement is sent.
        yield* proxy.latency("100 millis")
        yield* direct.run([query("SELECT pg_terminate_backend($1, 2000)", [backend?.rows[0]?.pid])])
        yield* pool.run([query(text)])
        yield* proxy.pass
      }
      const [written] = yield* direct.run([query("SELECT id FROM session_ended")])
      assert.strictEqual(written?.rows.length, 1)
      assert.strictEqual((yield* pool.stats).closed.lost, 2)
    })
  )

  it.scoped("gives a connection back after an interruption within 50 ms, with the server idle", () =>
    Effect.gen(function* () {
      const { sessions, url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { maxConnections: 1 })
      const running = yield* Effect.fork(pool.run([query("SELECT pg_sleep(10)")]))
      yield* withinSeconds(
        2,
        Effect.map(sessions, (all) => all.some(({ state }) => state === "active"))
      )
      const [took] = yield* Effect.timed(Fiber.interrupt(running))
      assert.isBelow(Duration.toMillis(took), 1_000)
      assert.isTrue((yield* sessions).every(({ state }) => state === "idle"))
      assert.strictEqual((yield* pool.run([query("SELECT 1 AS one")]))[0]?.rows[0]?.one, 1)
      assert.strictEqual((yield* pool.stats).opened, 1)
    })
  )

  it.scoped("replaces its connections, the idle ones at once and one in use when it comes back", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { maxConnections: 2 })
      const backend = Effect.map(
        pool.run([query("SELECT pg_backend_pid() AS pid")]),
        ([result]) => result?.rows[0]?.pid
      )
      const idle = yield* pool.use((inUse) =>
        Effect.gen(function* () {
          const before = yield* backend
          yield* pool.reset
          assert.notStrictEqual(yield* backend, before)
          const [answer] = yield* inUse.run([query("SELECT pg_backend_pid() AS pid")])
          assert.strictEqual(answer?.rows[0]?.pid, inUse.processId)
          return inUse.processId
        })
      )
      yield* withinSeconds(
        5,
        Effect.map(pool.stats, ({ closed }) => closed.reset === 2)
      )
      assert.notStrictEqual(yield* backend, idle)
    })
  )

  it.scoped("shows its statistics as a stream and as metrics", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { maxConnections: 2, acquireTimeout: "50 millis" })
      const snapshots = yield* Stream.runCollect(Stream.take(ConnectionPool.changes(pool, "10 millis"), 2))
      assert.deepStrictEqual(
        Chunk.toReadonlyArray(snapshots).map(({ max }) => max),
        [2, 2]
      )
      yield* ConnectionPool.publish(pool, "20 millis")
      yield* pool.use(() => pool.use(() => failureOf(pool.use(() => Effect.void))))
      const valueOf = (name: string, state?: string) =>
        Effect.map(
          Metric.snapshot,
          (pairs) =>
            pairs.find(({ metricKey: { name: found, tags } }) => {
              const has = (value: string) => tags.some((tag) => tag.value === value)
              return found === name && has(pool.name) && (state === undefined || has(state))
            })?.metricState
        )
      yield* withinSeconds(
        10,
        Effect.gen(function* () {
          const idle = yield* valueOf("db.client.connection.count", "idle")
          const timeouts = yield* valueOf("db.client.connection.timeouts")
          const used = yield* valueOf("plinth.pool.use_time")
          return (
            idle !== undefined &&
            MetricState.isGaugeState(idle) &&
            idle.value === 2 &&
            timeouts !== undefined &&
            MetricState.isCounterState(timeouts) &&
            timeouts.count === 1 &&
            used !== undefined &&
            MetricState.isCounterState(used) &&
            used.count > 0.05
          )
        })
      )
    })
  )

  it.scoped("forgets what a holder did to a session, where it is told to", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const setting = query("SELECT current_setting('work_mem') AS work_mem")
      for (const [sessionReset, expected] of [
        ["none", "5MB"],
        ["discard", "4MB"]
      ] as const) {
        const pool = yield* open(url, { maxConnections: 1, sessionReset })
        yield* pool.run([setting])
        yield* pool.use((connection) => connection.run([query("SET work_mem = '5MB'")]))
        assert.strictEqual((yield* pool.run([setting]))[0]?.rows[0]?.work_mem, expected)
        yield* pool.use((connection) => connection.run([query("BEGIN")]))
        assert.strictEqual((yield* pool.run([setting]))[0]?.rows[0]?.work_mem, expected)
        assert.strictEqual((yield* pool.stats).opened, 1)
      }
    })
  )

  it.scoped("names its holders by their spans, and counts how long they were", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { maxConnections: 2 })
      const [holder] = yield* pool
        .use(({ processId }) =>
          Effect.map(pool.holders, (holders) => holders.filter((found) => found.processId === processId))
        )
        .pipe(Effect.withSpan("pay"), Effect.withSpan("checkout"))
      assert.deepStrictEqual(holder?.spans, ["pay", "checkout"])
      assert.match(holder?.fiber ?? "", /^#\d+$/)
      assert.deepStrictEqual(yield* pool.holders, [])
      const { acquire, open: opened, use } = (yield* pool.stats).times
      assert.deepStrictEqual([acquire.count, use.count], [1, 1])
      assert.isAbove(opened.sum, 0)
      assert.isAtLeast(use.max, use.sum / use.count)
    })
  )

  it.scoped("gives waiters of a lower priority their share, and no more", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { maxConnections: 1 })
      const served: Array<string> = []
      const ask = (priority: "high" | "low") =>
        Effect.provideService(
          pool.use(() => Effect.sync(() => served.push(priority))),
          ConnectionPool.Priority,
          priority
        )
      const fibers = yield* pool.use(() =>
        Effect.gen(function* () {
          const asking = yield* Effect.forkAll([
            ...Array.from({ length: 4 }, () => ask("low")),
            ...Array.from({ length: 12 }, () => ask("high"))
          ])
          yield* withinSeconds(
            5,
            Effect.map(pool.stats, ({ waiting }) => waiting === 16)
          )
          return asking
        })
      )
      yield* Fiber.join(fibers)
      // Six to one, for as long as both wait.
      assert.strictEqual(served.slice(0, 14).filter((priority) => priority === "low").length, 2)
      assert.deepStrictEqual(served.slice(14), ["low", "low"])
    })
  )

  it.scoped("prepares a statement again when its result type has changed", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { maxConnections: 1 })
      yield* pool.run([query("CREATE TABLE changing (a int)")])
      const select = query("SELECT * FROM changing")
      yield* pool.run([select])
      yield* pool.run([query("ALTER TABLE changing ADD COLUMN b text")])
      const [result] = yield* pool.run([select])
      assert.deepStrictEqual(
        result?.fields.map(({ name }) => name),
        ["a", "b"]
      )
      yield* pool.run([query("DEALLOCATE ALL")])
      assert.strictEqual((yield* pool.run([select]))[0]?.rowCount, 0)
    })
  )

  it.scoped("keeps at most 256 prepared statements on the server, also when first executions fail", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { maxConnections: 1 })
      yield* Effect.forEach(
        Array.from({ length: 400 }, (_, i) => i),
        (i) => Effect.exit(pool.run([query(`SELECT ${i} / $1::int`, [i % 3])])),
        { discard: true }
      )
      const [row] = yield* pool.run([query("SELECT count(*)::int AS n FROM pg_prepared_statements")])
      assert.isAtMost(row?.rows[0]?.n, 256)
    })
  )

  it.scoped("opens its minimum and opens it again when the server has killed it", () =>
    Effect.gen(function* () {
      const { sessions, url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { minConnections: 3, maxConnections: 4 })
      yield* withinSeconds(
        5,
        Effect.map(pool.stats, ({ idle }) => idle === 3)
      )
      const [first] = yield* sessions
      yield* pool.run([query("SELECT pg_terminate_backend($1, 2000)", [first?.pid])]).pipe(Effect.ignore)
      yield* withinSeconds(
        5,
        Effect.map(pool.stats, ({ closed, idle }) => idle === 3 && closed.lost >= 1)
      )
    })
  )

  it.scoped("reports a connection that is held for long, once", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const messages: Array<string> = []
      const logger = Logger.make(({ message }) => void messages.push(String(message)))
      yield* Effect.gen(function* () {
        const pool = yield* open(url, { leakAfter: "1 second" })
        const held = yield* pool.reserve
        yield* withinSeconds(
          10,
          Effect.sync(() =>
            messages.some((message) => message.includes(`(backend ${held.processId}) has been held for`))
          )
        )
        // Through two more looks of the pool.
        yield* Effect.sleep("2200 millis")
        assert.strictEqual(messages.filter((message) => message.includes("has been held")).length, 1)
      }).pipe(Effect.provide(Logger.add(logger)))
    })
  )

  it.scoped("fails a COPY that waits for data, and goes on", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { maxConnections: 1 })
      yield* pool.run([query("CREATE TABLE copied (id int)")])
      for (const protocol of ["extended", "simple"] as const) {
        const error = yield* failureOf(pool.run([{ text: "COPY copied FROM STDIN", params: [], protocol }]))
        assert.include(error.message, "COPY FROM STDIN needs a stream of data")
        const [result] = yield* pool.run([query("SELECT count(*)::int AS n FROM copied")])
        assert.strictEqual(result?.rows[0]?.n, 0)
      }
    })
  )

  it.scoped("shrinks and grows at run time", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { maxConnections: 4 })
      const busy = Effect.all(
        Array.from({ length: 4 }, () => pool.run([query("SELECT pg_sleep(0.05)")])),
        { concurrency: "unbounded" }
      )
      // A machine that takes longer to connect than the statements take needs more than one round.
      yield* withinSeconds(
        20,
        Effect.map(Effect.zipRight(busy, pool.stats), ({ idle, total }) => total === 4 && idle === 4)
      )
      yield* pool.resize({ min: 1, max: 2 })
      assert.strictEqual((yield* pool.stats).total, 2)
      yield* busy
      assert.strictEqual((yield* pool.stats).total, 2)
      yield* pool.resize({ min: 3, max: 5 })
      yield* withinSeconds(
        5,
        Effect.map(pool.stats, ({ total }) => total >= 3)
      )
    })
  )

  it.scoped("says who holds the connections when an acquire times out", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const pool = yield* open(url, { maxConnections: 1, acquireTimeout: "100 millis" })
      yield* pool.reserve
      const error = yield* failureOf(pool.run([query("SELECT 1")]))
      assert.strictEqual(error.reason, "AcquireTimeout")
      assert.match(error.message, /1 of 1 open, the longest in use for \d+ ms/)
    })
  )

  it.effect("waits for what runs when it is closed, and refuses what comes after", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      const [running, pool] = yield* Effect.scoped(
        Effect.gen(function* () {
          const pool = yield* open(url)
          const running = yield* Effect.forkDaemon(pool.run([query("SELECT pg_sleep(0.3), 7 AS n")]))
          yield* withinSeconds(
            2,
            Effect.map(pool.stats, ({ used }) => used === 1)
          )
          return [running, pool] as const
        })
      )
      assert.strictEqual((yield* Fiber.join(running))[0]?.rows[0]?.n, 7)
      assert.strictEqual((yield* failureOf(pool.run([query("SELECT 1")]))).reason, "PoolClosed")
    })
  )

  it.scoped("takes the password anew for every connection, and never shows it", () =>
    Effect.gen(function* () {
      const { url } = yield* TestDatabase.TestDatabase
      let asked = 0
      const password = Effect.sync(() => Redacted.make(`secret-${++asked}`))
      const pool = yield* open(url, { password, minConnections: 0 })
      assert.isAtLeast(asked, 1)
      const stats = yield* pool.stats
      assert.notInclude(JSON.stringify([pool.name, stats, pool]), "secret-")
    })
  )
})

layer(EmbeddedPostgres.layer({ replicas: 0 }), { excludeTestServices: true, timeout: 30_000 })("a pool", (it) => {
  it.scoped("is full again after a restart of the server under load, and every request ended typed", () =>
    Effect.gen(function* () {
      const { primary, url } = yield* EmbeddedPostgres.EmbeddedPostgres
      const pool = yield* open(url, { minConnections: 4, maxConnections: 8 })
      const requests = yield* Effect.fork(
        Effect.forEach(
          Array.from({ length: 3_000 }, (_, i) => i),
          () => Effect.exit(pool.run([query("SELECT pg_sleep(0.002)")])),
          { concurrency: 64 }
        )
      )
      yield* Effect.sleep("200 millis")
      yield* primary.restart
      const exits = yield* Fiber.join(requests)
      for (const exit of exits) {
        if (Exit.isSuccess(exit)) continue
        const error = yield* failureOf(exit)
        assert.isTrue(DatabaseError.from(error).isConnectionFailure, error.message)
      }
      yield* withinSeconds(
        2,
        Effect.map(pool.stats, ({ idle, used }) => used === 0 && idle >= 4)
      )
    })
  )
})
