/**
 * The client behind pgbouncer in transaction mode: all that needs no session works, and nothing of one leaks to others.
 */
import { assert, describe, layer } from "@effect/vitest"
import * as SqlClient from "@effect/sql/SqlClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Stream from "effect/Stream"
import { Database, DatabaseConfig, DatabaseError } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { failureOf, withinSeconds } from "../support/effects.ts"
import * as PgBouncers from "../support/PgBouncer.ts"
import * as Stages from "../support/stage.ts"

if (!PgBouncers.isInstalled) {
  console.warn(
    "\n!!! pgbouncer is not installed: NOTHING behind a pooler is tested here (apt-get install pgbouncer) !!!\n"
  )
}

const rounds = process.env["PLINTH_TEST_LONG"] === undefined ? 150 : 2_000

/** Two clients behind one pooler that has this many sessions of the server, and a way past it. */
const behindPooler = (sessions: number, settings: Readonly<Record<string, string>> = {}, maxConnections = 4) =>
  Effect.gen(function* () {
    const { url } = yield* TestDatabase.TestDatabase
    const direct = yield* Stages.openDirect(url)
    const pooler = yield* PgBouncers.make(url, { default_pool_size: String(sessions), ...settings })
    const options = { pooler: "pgbouncer", maxConnections } as const
    const one = yield* Stages.make(pooler.url, "one", options)
    const other = yield* Stages.make(pooler.url, "other", options)
    return { direct, pooler, one, other }
  })

const many = <A, E, R>(n: number, effect: (i: number) => Effect.Effect<A, E, R>) =>
  Effect.forEach(
    Array.from({ length: n }, (_, i) => i),
    effect,
    { concurrency: 16 }
  )

describe.skipIf(!PgBouncers.isInstalled)("behind pgbouncer", () => {
  layer(TestDatabase.layer(), { excludeTestServices: true })("a client", (it) => {
    it.scoped("runs statements, transactions, nested ones and streams of many fibers on two sessions", () =>
      Effect.gen(function* () {
        const { direct, one } = yield* behindPooler(2)
        const { pool, sql } = one
        yield* sql`CREATE TABLE pooled (id int)`
        yield* many(48, (i) =>
          Effect.gen(function* () {
            assert.deepStrictEqual(yield* sql`SELECT ${i}::int AS i`, [{ i }])
            yield* sql.withTransaction(
              Effect.gen(function* () {
                yield* sql`INSERT INTO pooled VALUES (${i})`
                yield* sql.withTransaction(sql`INSERT INTO pooled VALUES (${i})`)
                yield* Effect.ignore(
                  sql.withTransaction(Effect.zipRight(sql`INSERT INTO pooled VALUES (${i})`, Effect.fail("undo")))
                )
              })
            )
            const streamed = yield* Stream.runCollect(sql`SELECT n FROM generate_series(1, 300) AS n`.stream)
            assert.strictEqual(streamed.length, 300)
          })
        )
        const [count] = yield* sql`SELECT count(*)::int AS n FROM pooled`
        assert.deepStrictEqual(count, { n: 96 })
        const [result] = yield* direct.run([
          Stages.query(
            "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'one' AND datname = current_database()"
          )
        ])
        assert.isAtMost(result?.rows[0]?.n, 2)
        yield* Stages.assertSettled(pool)
      })
    )

    it.scoped("leaves no prepared statement, setting, lock or cursor in a session that others get", () =>
      Effect.gen(function* () {
        const { one, other } = yield* behindPooler(1)
        yield* many(20, () => one.sql`SELECT ${1}::int`)
        yield* one.transaction.run(one.sql`SELECT 1`, {
          timeout: "7 seconds",
          lockTimeout: "6 seconds",
          isolation: "serializable",
          access: "read only",
          settings: { "app.user_id": "alice" }
        })
        yield* one.sql.withTransaction(Stream.runDrain(Stream.take(one.sql`SELECT generate_series(1, 1000)`.stream, 1)))
        yield* Effect.scoped(Effect.flatMap(one.sql.reserve, (held) => held.executeUnprepared("BEGIN", [], undefined)))
        const [left] = yield* other.sql`
          SELECT (SELECT count(*)::int FROM pg_prepared_statements) AS prepared,
            (SELECT count(*)::int FROM pg_cursors WHERE name <> '') AS cursors,
            (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
            current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
            current_setting('transaction_isolation') AS isolation, current_setting('transaction_read_only') AS readonly,
            coalesce(current_setting('app.user_id', true), '') AS tenant`
        assert.deepStrictEqual(left, {
          prepared: 0,
          cursors: 0,
          locks: 0,
          statement: "0",
          lock: "0",
          isolation: "read committed",
          readonly: "off",
          tenant: ""
        })
      })
    )

    it.scoped("is told of its own errors only, and typed", () =>
      Effect.gen(function* () {
        const { one } = yield* behindPooler(1)
        const { sql } = one
        yield* sql`CREATE TABLE pooled_unique (id int PRIMARY KEY)`
        const outcomes = yield* many(32, (i) =>
          Stages.outcomeOf(i % 2 === 0 ? sql`SELECT 1` : sql`INSERT INTO pooled_unique VALUES (1)`)
        )
        for (const [i, outcome] of outcomes.entries()) if (i % 2 === 0) assert.strictEqual(outcome, "success")
        assert.strictEqual(outcomes.filter((outcome) => outcome === "UniqueViolation").length, 15)
        assert.strictEqual(outcomes.filter((outcome) => outcome === "success").length, 17)
      })
    )

    it.scoped("cancels what is interrupted on the server, and never what another client runs there", () =>
      Effect.gen(function* () {
        const { direct, one, other } = yield* behindPooler(2)
        const worker = (stage: Stages.Stage) => (tag: number) =>
          Effect.gen(function* () {
            const patience = Duration.millis(yield* Random.nextIntBetween(0, 12))
            const statement = stage.sql`SELECT ${tag}::int AS tag, pg_sleep(0.004)::text`
            const exit = yield* Effect.exit(Effect.timeoutOption(statement, patience))
            if (Exit.isFailure(exit)) return yield* exit
            if (Option.isSome(exit.value)) assert.deepInclude(exit.value.value[0], { tag })
          })
        const careful = many(rounds, (i) => other.sql`SELECT ${i}::int AS i, pg_sleep(0.002)::text`)
        yield* Effect.all([many(rounds, worker(one)), careful], { concurrency: 2 })
        yield* Effect.timeoutOption(one.sql`SELECT pg_sleep(20)`, "50 millis")
        const active = direct.run([
          Stages.query("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()")
        ])
        assert.strictEqual((yield* active)[0]?.rows.length, 0)
        yield* Stages.assertSettled(one.pool)
        yield* Stages.assertSettled(other.pool)
      })
    )

    it.scoped("does not call an aborted COMMIT committed whose answer was lost: nobody behind a pooler can tell", () =>
      Effect.gen(function* () {
        const { one } = yield* behindPooler(2)
        const { proxy, sql } = one
        yield* sql`CREATE TABLE pooled_commit (id int)`
        yield* many(4, () => sql`SELECT pg_sleep(0.01)`)
        for (const on of ["request", "answer"] as const) {
          const insert = sql`INSERT INTO pooled_commit VALUES (1)`
          const fault = proxy.strike("COMMIT", { fault: "cut", on })
          const error = DatabaseError.from(yield* failureOf(sql.withTransaction(Effect.zipRight(insert, fault))))
          assert.strictEqual(error.reason, "CommitInDoubt")
          assert.isFalse(error.isRetryable)
        }
        yield* withinSeconds(
          5,
          Effect.map(sql`SELECT 1 FROM pooled_commit`, (rows) => rows.length === 1)
        )
        yield* Stages.assertSettled(one.pool)
      })
    )

    it.scoped("fails typed when the server's session or the pooler dies, and goes on when it is back", () =>
      Effect.gen(function* () {
        const { direct, one, pooler } = yield* behindPooler(2)
        const { pool, sql } = one
        const running = yield* Effect.fork(Stages.outcomeOf(sql`SELECT pg_sleep(20)`))
        const endSleeping = withinSeconds(
          5,
          Effect.map(
            direct.run([
              Stages.query(
                "SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
              )
            ]),
            ([result]) => result?.rows.length === 1
          )
        )
        yield* endSleeping
        assert.include(["AdminShutdown", "ConnectionLost"], yield* Fiber.join(running))
        yield* sql`SELECT 1`

        const lost = yield* Effect.fork(Stages.outcomeOf(sql`SELECT pg_sleep(20)`))
        yield* withinSeconds(
          5,
          Effect.map(
            direct.run([
              Stages.query(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
              )
            ]),
            ([result]) => result?.rows.length === 1
          )
        )
        yield* pooler.stop
        assert.include(["AdminShutdown", "ConnectionLost"], yield* Fiber.join(lost))
        // Its session of the server does not know yet that nobody waits for it.
        yield* endSleeping
        assert.include(["ConnectionLost", "ConnectionRefused"], yield* Stages.outcomeOf(sql`SELECT 1`))
        yield* pooler.start
        yield* withinSeconds(
          10,
          Effect.map(Stages.outcomeOf(sql`SELECT 1`), (outcome) => outcome === "success")
        )
        yield* Stages.assertSettled(pool)
      })
    )

    it.scoped("says that the pooler has no session left, and that it takes no more clients", () =>
      Effect.gen(function* () {
        const { one, pooler } = yield* behindPooler(1, { query_wait_timeout: "1", max_client_conn: "3" })
        const { sql } = one
        const holding = yield* Effect.fork(sql.withTransaction(Effect.zipRight(sql`SELECT 1`, Effect.never)))
        yield* withinSeconds(
          5,
          Effect.map(one.pool.stats, ({ used }) => used === 1)
        )
        assert.strictEqual(yield* Stages.outcomeOf(sql`SELECT 1`), "TooManyConnections")
        yield* Fiber.interrupt(holding)
        const crowd = yield* Effect.exit(
          Effect.all(
            Array.from({ length: 4 }, (_, i) => Stages.make(pooler.url, `crowd ${i}`, { pooler: "pgbouncer" }))
          )
        )
        assert.isTrue(Exit.isFailure(crowd))
        const error = DatabaseError.from(yield* failureOf(crowd))
        assert.strictEqual(error.reason, "TooManyConnections")
      })
    )

    it.effect("is refused a statement timeout, with the place where it belongs", () =>
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const error = yield* failureOf(DatabaseConfig.make({ url, pooler: "pgbouncer", statementTimeout: "1 second" }))
        assert.include(error.message, "ALTER ROLE .. SET statement_timeout")
      })
    )

    it.scoped("is refused statements that change a session by the default stack, with the reason", () =>
      Effect.gen(function* () {
        const { url } = yield* TestDatabase.TestDatabase
        const pooler = yield* PgBouncers.make(url)
        const context = yield* Layer.build(Database.layer({ url: pooler.url, pooler: "pgbouncer" }))
        const sql = Context.get(context, SqlClient.SqlClient)
        for (const text of ["SET work_mem = '1MB'", "LISTEN a", "BEGIN", "PREPARE p AS SELECT 1", "DISCARD ALL"]) {
          assert.strictEqual(yield* Stages.outcomeOf(sql.unsafe(text)), "SessionStatement", text)
        }
        assert.deepStrictEqual(yield* sql`SELECT 1 AS one`, [{ one: 1 }])
      })
    )
  })
})
