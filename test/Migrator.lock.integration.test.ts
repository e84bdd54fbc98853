import { assert, describe, it } from "@effect/vitest"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Schedule from "effect/Schedule"
import { HealthMonitor, Migrator, RetryPolicy } from "effect-plinth"
import { harness, ids, states, withDatabase } from "./support/migrators.ts"

/** Waits until a statement of the work session matches. */
const until = (sql: SqlClient.SqlClient, condition: string) =>
  Effect.repeat(sql.unsafe(`SELECT FROM pg_stat_activity WHERE datname = current_database() AND ${condition}`), {
    until: (rows) => rows.length > 0,
    schedule: Schedule.spaced("20 millis")
  })

const sleeping = "application_name = 'plinth-migrator' AND query LIKE '%pg_sleep%' AND state = 'active'"

describe("the migration lock", () => {
  it.live(
    "lets four processes start on an empty database at once, twenty times",
    () =>
      Effect.gen(function* () {
        const files = { "0001_a.sql": "CREATE TABLE a (id int);", "0002_b.sql": "CREATE TABLE b (id int);" }
        const processes = yield* Effect.all([harness(files), harness(files), harness(files), harness(files)])
        for (let round = 0; round < 20; round++) {
          const ran = yield* Effect.forEach(processes, ({ migrator }) => migrator.up(), { concurrency: 4 })
          assert.deepStrictEqual(ran.flatMap(ids), ["0001", "0002"])
          yield* processes[0].sql.unsafe("DROP SCHEMA plinth CASCADE; DROP TABLE a, b")
        }
      }).pipe(withDatabase),
    120_000
  )

  it.live("lets a run build an index CONCURRENTLY while three processes wait for it", () =>
    Effect.gen(function* () {
      const files = {
        "0001_t.sql": "CREATE TABLE t (id int); SELECT pg_sleep(0.7);",
        "0002_i.sql": "CREATE INDEX CONCURRENTLY t_id ON t (id);"
      }
      const holder = yield* harness(files)
      const waiters = yield* Effect.all([harness(files), harness(files), harness(files)])
      const run = yield* Effect.fork(holder.migrator.up())
      yield* until(holder.sql, sleeping)
      const waiting = yield* Effect.fork(Effect.forEach(waiters, ({ migrator }) => migrator.up(), { concurrency: 3 }))
      assert.deepStrictEqual(ids(yield* Effect.timeout(Fiber.join(run), "10 seconds")), ["0001", "0002"])
      assert.deepStrictEqual(yield* Fiber.join(waiting), [[], [], []])
      for (const { events } of waiters) {
        const [first] = events
        assert.strictEqual(first?._tag, "WaitingForLock")
        assert.match(
          first?._tag === "WaitingForLock" ? first.holder : "",
          /^process \d+ on [\w.-]+ \(server pid \d+, .*since \d{4}-/
        )
      }
    }).pipe(withDatabase)
  )

  it.live("gives up after the lock wait and names the holder", () =>
    Effect.gen(function* () {
      const files = { "0001_t.sql": "SELECT pg_sleep(3);" }
      const holder = yield* harness(files)
      const waiter = yield* harness(files, { lockWait: "300 millis" })
      const run = yield* Effect.fork(holder.migrator.up())
      yield* until(holder.sql, sleeping)
      const error = yield* Effect.flip(waiter.migrator.up())
      assert.strictEqual(error.reason, "LockUnavailable")
      assert.match(error.message, new RegExp(`process ${process.pid} on \\S+ \\(server pid \\d+`))
      yield* Fiber.interrupt(run)
      assert.deepStrictEqual(
        ids(yield* harness({ "0001_t.sql": "SELECT 1" }).pipe(Effect.flatMap(({ migrator }) => migrator.up()))),
        ["0001"]
      )
    }).pipe(withDatabase)
  )

  it.live("stops the run and keeps nothing of the step when the session that holds the lock is ended", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness({
        "0001_a.sql": "CREATE TABLE a (id int);",
        "0002_b.sql": "CREATE TABLE b (id int); SELECT pg_sleep(1);",
        "0003_c.sql": "CREATE TABLE c (id int);"
      })
      const run = yield* Effect.fork(Effect.flip(migrator.up()))
      yield* until(sql, sleeping)
      yield* sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND application_name LIKE 'plinth-migrator-lock%'`
      const error = yield* Fiber.join(run)
      assert.strictEqual(error.reason, "LockLost")
      assert.include(error.message, "0001 is done and stays")
      assert.deepStrictEqual(states(yield* migrator.status), {
        "0001": "applied",
        "0002": "pending",
        "0003": "pending"
      })
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0002", "0003"])
    }).pipe(withDatabase)
  )

  it.live("is not lost to the timeouts that the database has for everybody else", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness({
        "0001_a.sql": "SELECT pg_sleep(0.8);",
        "0002_b.sql": "SELECT pg_sleep(0.8);"
      })
      const [database] = yield* sql<{ readonly name: string }>`SELECT current_database() AS name`
      for (const timeout of ["idle_in_transaction_session_timeout", "statement_timeout", "lock_timeout"]) {
        yield* sql.unsafe(`ALTER DATABASE ${database?.name} SET ${timeout} = '300ms'`)
      }
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0001", "0002"])
    }).pipe(withDatabase)
  )

  it.live("is given back when a run is interrupted, and nothing of the statement that ran is kept", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness({ "0001_a.sql": "CREATE TABLE a (id int); SELECT pg_sleep(30);" })
      const run = yield* Effect.fork(migrator.up())
      yield* until(sql, sleeping)
      yield* Fiber.interrupt(run)
      const left =
        yield* sql`SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`
      assert.deepStrictEqual(left, [])
      assert.deepStrictEqual(yield* sql`SELECT to_regclass('a') AS a`, [{ a: null }])
    }).pipe(withDatabase)
  )
})

describe("the health check of the migrations", () => {
  it.live("calls what a live run is in the middle of no failure, and what it leaves behind one", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness({
        "0001_a.sql": "CREATE TABLE a (id int); CREATE INDEX CONCURRENTLY a_id ON a (id); SELECT pg_sleep(30);"
      })
      const monitor = yield* HealthMonitor.make({
        nodes: [],
        migrations: Migrator.facts("test", migrator),
        background: false
      })
      const found = Effect.map(monitor.check({ ids: ["migrations-behind"] }), (report) =>
        HealthMonitor.worstFirst(report).flatMap(({ findings }) => findings)
      )
      const run = yield* Effect.fork(migrator.up())
      yield* until(sql, sleeping)
      const [during] = yield* found
      assert.deepInclude(during, { severity: "warning", subject: "running" })
      assert.match(
        during?.evidence ?? "",
        new RegExp(`^0001 under way: process ${process.pid} on \\S+ \\(server pid \\d+`)
      )
      assert.match((yield* migrator.status).notes.join(), /migrates this database at this moment/)
      yield* Fiber.interrupt(run)
      assert.deepStrictEqual(states(yield* migrator.status), { "0001": "started" })
      const [after] = yield* found
      assert.deepInclude(after, { severity: "critical", subject: "failed" })
    }).pipe(withDatabase)
  )
})

describe("a statement that needs a lock", () => {
  it.live(
    "never makes a reader wait longer than lock_timeout, and gets its turn when the transaction before it ends",
    () =>
      Effect.gen(function* () {
        const { events, migrator, sql } = yield* harness(
          { "0001_t.sql": "CREATE TABLE t (id int);", "0002_t.sql": "SELECT 1;\nALTER TABLE t ADD COLUMN x int;" },
          { lockTimeout: "300 millis" }
        )
        yield* migrator.up({ to: "1" })
        const release = yield* Deferred.make<void>()
        const open = yield* Effect.fork(
          sql.withTransaction(
            Effect.all([
              sql`SET LOCAL application_name = 'report'`,
              sql`SELECT count(*) FROM t`,
              Deferred.await(release)
            ])
          )
        )
        yield* until(sql, "state = 'idle in transaction' AND query LIKE 'SELECT count%'")
        const run = yield* Effect.fork(migrator.up())
        let longest = Duration.zero
        const read = Effect.map(Effect.timed(sql`SELECT id FROM t`), ([took]) => {
          longest = Duration.max(longest, took)
        })
        yield* Effect.repeat(read, {
          until: () => events.filter(({ _tag }) => _tag === "Retrying").length >= 2,
          schedule: Schedule.spaced("5 millis")
        })
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(open)
        assert.deepStrictEqual(ids(yield* Fiber.join(run)), ["0002"])
        assert.isBelow(Duration.toMillis(longest), 300 + 500)
        const retrying = events.find((event) => event._tag === "Retrying")
        const [blocker] = retrying?._tag === "Retrying" ? retrying.blockers : []
        assert.deepInclude(blocker, {
          application: "report",
          state: "idle in transaction",
          query: "SELECT count(*) FROM t"
        })
      }).pipe(withDatabase)
  )

  it.live("names the blocker and how to end it when every try is used up", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness(
        { "0001_t.sql": "CREATE TABLE t (id int);", "0002_t.sql": "ALTER TABLE t ADD COLUMN x int;" },
        {
          lockTimeout: "100 millis",
          lockRetry: RetryPolicy.make({ reasons: ["LockTimeout"], initial: "20 millis", max: "20 millis", retries: 1 })
        }
      )
      yield* migrator.up({ to: "1" })
      const error = yield* sql.withTransaction(
        Effect.gen(function* () {
          const [row] = yield* sql<{
            readonly pid: number
          }>`SELECT pg_backend_pid() AS pid FROM (SELECT count(*) FROM t) t`
          const error = yield* Effect.flip(migrator.up())
          assert.include(error.message, `pg_terminate_backend(${row?.pid})`)
          return error
        })
      )
      assert.strictEqual(error.reason, "LockTimeout")
      assert.deepInclude(error.location, { file: "0002_t.sql", line: 1 })
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0002"])
    }).pipe(withDatabase)
  )
})
