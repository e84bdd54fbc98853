import { assert, describe, it } from "@effect/vitest"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Schedule from "effect/Schedule"
import { TestDatabase } from "effect-plinth/testing"
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { harness, ids, withDatabase } from "./support/migrators.ts"
import type { Files } from "./support/migrators.ts"

const child = fileURLToPath(new URL("support/migrateChild.ts", import.meta.url))

/** Migrates in another process, and kills it with SIGKILL once its session matches. */
const killWhen = (sql: SqlClient.SqlClient, files: Files, condition: string) =>
  Effect.gen(function* () {
    const { url } = yield* TestDatabase.TestDatabase
    const started = spawn(process.execPath, ["--import", "tsx", child, Redacted.value(url), JSON.stringify(files)], {
      stdio: "ignore"
    })
    const exited = new Promise((resolve) => started.once("exit", resolve))
    yield* Effect.repeat(
      sql.unsafe(
        `SELECT FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'plinth-migrator' AND ${condition}`
      ),
      {
        until: (rows) => rows.length > 0 || started.exitCode !== null,
        schedule: Schedule.spaced("20 millis")
      }
    )
    assert.isNull(started.exitCode, "the process ended before it could be killed")
    started.kill("SIGKILL")
    yield* Effect.promise(() => exited)
  })

describe("a run that was killed", () => {
  it.live(
    "leaves nothing of its transaction, and the next run goes on within seconds",
    () =>
      Effect.gen(function* () {
        const files = (seconds: number) => ({
          "0001_a.sql": "CREATE TABLE a (id int);",
          "0002_b.sql": `CREATE TABLE b (id int); SELECT pg_sleep(${seconds});`
        })
        const { events, migrator, sql } = yield* harness(files(0))
        yield* killWhen(sql, files(60), "query LIKE '%pg_sleep%'")
        const [took, ran] = yield* Effect.timed(migrator.up())
        assert.deepStrictEqual(ids(ran), ["0002"])
        assert.isBelow(Duration.toSeconds(took), 8)
        assert.isTrue(events.some(({ _tag }) => _tag === "WaitingForOrphan"))
      }).pipe(withDatabase),
    60_000
  )

  it.live(
    "goes on with the statement that was interrupted, after an index that it left half built",
    () =>
      Effect.gen(function* () {
        const files = {
          "0001_t.sql": "CREATE TABLE t (id int);",
          "0002_m.sql":
            "INSERT INTO t VALUES (1);\nCREATE INDEX CONCURRENTLY t_id ON t (id);\nINSERT INTO t VALUES (2);"
        }
        const { events, migrator, sql } = yield* harness(files)
        const elsewhere = yield* harness({})
        yield* migrator.up({ to: "1" })
        // An open transaction that has written to the table keeps CREATE INDEX CONCURRENTLY waiting.
        const release = yield* Deferred.make<void>()
        const open = yield* Effect.fork(
          elsewhere.sql.withTransaction(
            Effect.zipRight(elsewhere.sql`INSERT INTO t VALUES (0)`, Deferred.await(release))
          )
        )
        yield* killWhen(sql, files, "query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'")
        // The server gives up a second later; let go before, and the index would be finished after all.
        yield* Effect.repeat(
          sql`SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'plinth-migrator'`,
          { until: (rows) => rows.length === 0, schedule: Schedule.spaced("20 millis") }
        )
        yield* Deferred.succeed(release, undefined)
        yield* Fiber.join(open)
        const [index] = yield* sql<{
          readonly valid: boolean
        }>`SELECT indisvalid AS valid FROM pg_index WHERE indexrelid = 't_id'::regclass`
        assert.deepStrictEqual(index, { valid: false })
        assert.deepStrictEqual(ids(yield* migrator.up()), ["0002"])
        assert.deepStrictEqual(yield* sql`SELECT id FROM t ORDER BY id`, [{ id: 0 }, { id: 1 }, { id: 2 }])
        assert.deepStrictEqual(yield* sql`SELECT indisvalid AS valid FROM pg_index WHERE indrelid = 't'::regclass`, [
          { valid: true }
        ])
        assert.isTrue(events.some((event) => event._tag === "Repaired" && event.description.includes("t_id")))
      }).pipe(withDatabase),
    60_000
  )
})
