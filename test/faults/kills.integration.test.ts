/**
 * Ends the backend of a transaction at every point of it: nothing of it is kept, its failure says so and may be retried.
 */
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Ref from "effect/Ref"
import type { ConnectionPool } from "effect-plinth"
import { DatabaseError, RetryPolicy } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"
import { failureOf, withinSeconds } from "../support/effects.ts"
import * as Stages from "../support/stage.ts"
import type { Stage } from "../support/stage.ts"

const { query } = Stages

type Pool = ConnectionPool.ConnectionPool["Type"]

/** Waits until the backend of the stage runs or waits where the condition says, and ends it. */
const killWhen = (direct: Pool, { name }: Stage, condition: string) =>
  withinSeconds(
    10,
    Effect.map(
      direct.run([
        query(
          `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = $1 AND (${condition})`,
          [name]
        )
      ]),
      ([result]) => (result?.rows.length ?? 0) > 0
    )
  ).pipe(Effect.asVoid)

/** A client with two connections, of which one can be a witness, and a table of its name. */
const stageOf = (name: string) =>
  Effect.gen(function* () {
    const { url } = yield* TestDatabase.TestDatabase
    const direct = yield* Stages.openDirect(url)
    const stage = yield* Stages.make(url, name, { minConnections: 2, validateAfter: "1 hour" })
    const { pool, sql } = stage
    yield* direct.run([query(`CREATE TABLE ${name} (id int)`)])
    yield* withinSeconds(
      10,
      Effect.map(pool.stats, ({ idle }) => idle === 2)
    )
    const insert = (id: number) => sql`INSERT INTO ${sql(name)} VALUES (${id})`
    const rows = Effect.map(sql<{ id: number }>`SELECT id FROM ${sql(name)} ORDER BY id`, (found) =>
      found.map(({ id }) => id)
    )
    return { direct, stage, insert, rows }
  })

/** What was killed has left nothing and says that it can be run again. */
const assertLost = (error: unknown) => {
  const found = DatabaseError.from(error)
  assert.include(["AdminShutdown", "ConnectionLost"], found.reason, found.message)
  assert.isTrue(found.isRetryable, found.message)
}

layer(TestDatabase.layer(), { excludeTestServices: true })("a backend that is killed", (it) => {
  it.scoped("before BEGIN fails the transaction before it has begun", () =>
    Effect.gen(function* () {
      const { direct, insert, rows, stage } = yield* stageOf("killed_before")
      const { pool, proxy, sql } = stage
      // The server's farewell is on its way when BEGIN is sent.
      yield* proxy.blackhole
      yield* killWhen(direct, stage, "true")
      const running = yield* Effect.fork(failureOf(sql.withTransaction(insert(1))))
      yield* withinSeconds(
        10,
        Effect.map(pool.stats, ({ used }) => used === 1)
      )
      yield* proxy.pass
      assertLost(yield* Fiber.join(running))
      assert.deepStrictEqual(yield* rows, [])
      yield* Stages.assertSound(stage, direct)
    })
  )

  it.scoped("in the statement that BEGIN came with undoes it", () =>
    Effect.gen(function* () {
      const { direct, rows, stage } = yield* stageOf("killed_first")
      const { sql } = stage
      const writing = sql`INSERT INTO killed_first SELECT 1 FROM pg_sleep(20)`
      const running = yield* Effect.fork(failureOf(sql.withTransaction(writing)))
      yield* killWhen(direct, stage, "wait_event = 'PgSleep'")
      assertLost(yield* Fiber.join(running))
      assert.deepStrictEqual(yield* rows, [])
      yield* Stages.assertSound(stage, direct)
    })
  )

  it.scoped("in a nested transaction undoes the outer one too, whatever the outer one makes of it", () =>
    Effect.gen(function* () {
      const { direct, insert, rows, stage } = yield* stageOf("killed_nested")
      const { sql } = stage
      const nested = sql.withTransaction(Effect.zipRight(insert(2), sql`SELECT pg_sleep(20)`))
      const outer = sql.withTransaction(
        Effect.gen(function* () {
          yield* insert(1)
          assertLost(yield* failureOf(nested))
          assertLost(yield* failureOf(insert(3)))
        })
      )
      const running = yield* Effect.fork(failureOf(outer))
      yield* killWhen(direct, stage, "wait_event = 'PgSleep'")
      assertLost(yield* Fiber.join(running))
      assert.deepStrictEqual(yield* rows, [])
      yield* Stages.assertSound(stage, direct)
    })
  )

  it.scoped("between the last statement and COMMIT was not committed, and a retry commits once", () =>
    Effect.gen(function* () {
      const { direct, insert, rows, stage } = yield* stageOf("killed_idle")
      const kill = yield* Ref.make(killWhen(direct, stage, "state = 'idle in transaction'"))
      const attempts = yield* Ref.make(0)
      yield* stage.transaction.run(
        Effect.gen(function* () {
          yield* Ref.update(attempts, (n) => n + 1)
          yield* insert(1)
          yield* Effect.flatten(Ref.getAndSet(kill, Effect.void))
        }),
        { retry: RetryPolicy.transaction }
      )
      assert.strictEqual(yield* Ref.get(attempts), 2)
      assert.deepStrictEqual(yield* rows, [1])
      yield* Stages.assertSound(stage, direct)
    })
  )

  it.scoped("while it works on COMMIT did not commit, which a witness says for certain", () =>
    Effect.gen(function* () {
      const { direct, insert, rows, stage } = yield* stageOf("killed_commit")
      yield* direct.run([
        query(
          "CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS " +
            "$$ BEGIN IF NEW.id = 1 THEN PERFORM pg_sleep(20); END IF; RETURN NULL; END $$"
        )
      ])
      yield* direct.run([
        query(
          "CREATE CONSTRAINT TRIGGER lingers AFTER INSERT ON killed_commit DEFERRABLE INITIALLY DEFERRED " +
            "FOR EACH ROW EXECUTE FUNCTION linger()"
        )
      ])
      const committing = yield* Effect.fork(failureOf(stage.sql.withTransaction(insert(1))))
      yield* killWhen(direct, stage, "wait_event = 'PgSleep' AND query = 'COMMIT'")
      const error = DatabaseError.from(yield* Fiber.join(committing))
      assertLost(error)
      assert.strictEqual(error.operation, "commit")
      yield* stage.sql.withTransaction(insert(2))
      assert.deepStrictEqual(yield* rows, [2])
      yield* Stages.assertSound(stage, direct)
    })
  )

  it.scoped("after COMMIT, before its answer arrives, has committed, and the transaction succeeds", () =>
    Effect.gen(function* () {
      const { direct, insert, rows, stage } = yield* stageOf("killed_after")
      const { proxy, sql } = stage
      yield* sql.withTransaction(Effect.zipRight(insert(1), proxy.strike("COMMIT", { fault: "cut", on: "answer" })))
      assert.isTrue(yield* proxy.struck)
      assert.deepStrictEqual(yield* rows, [1])
      yield* Stages.assertSound(stage, direct)
    })
  )
})
