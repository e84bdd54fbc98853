import { assert, describe, it } from "@effect/vitest"
import type * as SqlClient from "@effect/sql/SqlClient"
import * as Effect from "effect/Effect"
import { harness, ids, states, withDatabase } from "./support/migrators.ts"

const table = {
  "0001_t.sql": "CREATE TABLE t (id int, x int);\nINSERT INTO t SELECT i, i % 10 FROM generate_series(1, 1000) i;"
}

const indexes = (sql: SqlClient.SqlClient) =>
  sql<{ readonly name: string; readonly valid: boolean }>`
    SELECT c.relname AS name, i.indisvalid AS valid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
    WHERE i.indrelid = 't'::regclass ORDER BY 1`

const done = (sql: SqlClient.SqlClient, id: string) =>
  sql<{ readonly status: string; readonly done: number; readonly transactional: boolean }>`
    SELECT status, statements_done AS done, transactional FROM plinth.migration WHERE id = ${id}`

describe("a migration with statements that cannot be in a transaction", () => {
  it.live("runs them alone and the others in transactions, and says so in its plan", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness({
        ...table,
        "0002_mixed.sql": [
          "ALTER TABLE t ADD COLUMN y int;",
          "ALTER TABLE t ADD COLUMN z int;",
          "CREATE INDEX CONCURRENTLY t_y ON t (y);",
          "VACUUM t;",
          "COMMENT ON TABLE t IS 'x';"
        ].join("\n")
      })
      const [, mixed] = (yield* migrator.plan()).migrations
      assert.deepStrictEqual(
        mixed?.segments.map(({ statements, transactional }) => [transactional, statements.map(({ line }) => line)]),
        [
          [true, [1, 2]],
          [false, [3]],
          [false, [4]],
          [true, [5]]
        ]
      )
      yield* migrator.up()
      assert.deepStrictEqual(yield* indexes(sql), [{ name: "t_y", valid: true }])
      assert.deepStrictEqual(yield* done(sql, "0002"), [{ status: "applied", done: 5, transactional: false }])
    }).pipe(withDatabase)
  )

  it.live("goes on after the statements that are done when the failing one was corrected", () =>
    Effect.gen(function* () {
      const start = "INSERT INTO t (id) VALUES (-1);\nCREATE INDEX CONCURRENTLY t_x ON t (x);\n"
      const broken = yield* harness({ ...table, "0002_m.sql": `${start}INSERT INTO t (nope) VALUES (1);` })
      const error = yield* Effect.flip(broken.migrator.up())
      assert.strictEqual(error.reason, "StatementFailed")
      assert.include(error.message, "2 of 3 statements are done and stay; the next run goes on with statement 3")
      assert.include(error.message, "0001 is done and stays")
      const status = yield* broken.migrator.status
      assert.deepInclude(status.entries[1], { state: "started", progress: { done: 2, of: 3 } })
      const changed = yield* harness({ ...table, "0002_m.sql": "INSERT INTO t (id) VALUES (-2);\nVACUUM t;\nVACUUM t" })
      assert.strictEqual((yield* Effect.flip(changed.migrator.up())).reason, "Edited")
      const text = `${start}INSERT INTO t (id) VALUES (-3);`
      const { migrator, sql } = yield* harness({ ...table, "0002_m.sql": text })
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0002"])
      assert.deepStrictEqual(yield* sql`SELECT id FROM t WHERE id < 0 ORDER BY id`, [{ id: -3 }, { id: -1 }])
      assert.deepStrictEqual(yield* sql`SELECT applied_text FROM plinth.migration WHERE id = '0002'`, [
        { applied_text: text }
      ])
    }).pipe(withDatabase)
  )

  it.live("drops the INVALID index of a failed build and builds it anew at the next run, even IF NOT EXISTS", () =>
    Effect.gen(function* () {
      const { events, migrator, sql } = yield* harness({
        ...table,
        "0002_i.sql": `CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "T x" ON public.t (x)`
      })
      const error = yield* Effect.flip(migrator.up())
      assert.strictEqual(error.database?.reason, "UniqueViolation")
      assert.deepStrictEqual(yield* indexes(sql), [{ name: "T x", valid: false }])
      yield* sql`DELETE FROM t WHERE id > 10`
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0002"])
      assert.deepStrictEqual(yield* indexes(sql), [{ name: "T x", valid: true }])
      assert.deepStrictEqual(
        events.flatMap((event) => (event._tag === "Repaired" ? [event.description] : [])),
        [`dropped public."T x", the INVALID index that a failed build left behind`]
      )
    }).pipe(withDatabase)
  )

  it.live("finds the INVALID index of a build without a name among those that were there before", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness({
        "0001_t.sql": `${table["0001_t.sql"]} CREATE INDEX t_id ON t (id);`,
        "0002_i.sql": "CREATE UNIQUE INDEX CONCURRENTLY ON t (x)"
      })
      yield* Effect.flip(migrator.up())
      assert.lengthOf(yield* indexes(sql), 2)
      yield* sql`DELETE FROM t WHERE id > 10`
      yield* migrator.up()
      assert.deepStrictEqual(yield* indexes(sql), [
        { name: "t_id", valid: true },
        { name: "t_x_idx", valid: true }
      ])
    }).pipe(withDatabase)
  )

  it.live("takes an index for done that was built when the run before was killed, and does not drop one twice", () =>
    Effect.gen(function* () {
      const files = {
        ...table,
        "0002_m.sql": "CREATE INDEX CONCURRENTLY t_x ON t (x);\nDROP INDEX CONCURRENTLY t_x;\nVACUUM t;"
      }
      const { migrator, sql } = yield* harness(files)
      yield* migrator.up()
      // As a kill between the statement and its record leaves it.
      yield* sql`CREATE INDEX t_x ON t (x)`
      yield* sql`UPDATE plinth.migration SET status = 'started', statements_done = 0, finished_at = NULL,
        in_flight = '{"statement": 1, "indexes": []}' WHERE id = '0002'`
      yield* migrator.up()
      assert.deepStrictEqual(yield* indexes(sql), [])
      yield* sql`UPDATE plinth.migration SET status = 'started', statements_done = 1, finished_at = NULL,
        in_flight = '{"statement": 2, "indexes": []}' WHERE id = '0002'`
      yield* migrator.up()
      assert.deepStrictEqual(yield* done(sql, "0002"), [{ status: "applied", done: 3, transactional: false }])
    }).pipe(withDatabase)
  )

  it.live("commits a new enum value before it is used", () =>
    Effect.gen(function* () {
      const { migrator, sql } = yield* harness({
        "0001_mood.sql": "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE people (mood mood);",
        "0002_sad.sql":
          "ALTER TYPE mood ADD VALUE 'sad'; ALTER TYPE mood ADD VALUE 'glad';\nINSERT INTO people VALUES ('sad'), ('glad');"
      })
      yield* migrator.up()
      assert.deepStrictEqual(yield* sql`SELECT count(*)::int AS n FROM people`, [{ n: 2 }])
    }).pipe(withDatabase)
  )

  it.live(
    "runs every statement by itself when the file asks for no transaction, a procedure that commits included",
    () =>
      Effect.gen(function* () {
        const files = {
          "0001_p.sql":
            "CREATE TABLE n (i int); CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO n VALUES (1); COMMIT; INSERT INTO n VALUES (2); END $$;"
        }
        const plain = yield* harness({ ...files, "0002_call.sql": "CALL p();" })
        const error = yield* Effect.flip(plain.migrator.up())
        assert.include(error.message, "what to do: a procedure that commits needs -- plinth: no-transaction")
        const { migrator, sql } = yield* harness({
          ...files,
          "0002_call.sql": "-- plinth: no-transaction\nCALL p();\nINSERT INTO n VALUES (3);"
        })
        assert.deepStrictEqual(ids(yield* migrator.up()), ["0002"])
        assert.deepStrictEqual(yield* sql`SELECT i FROM n ORDER BY i`, [{ i: 1 }, { i: 2 }, { i: 3 }])
      }).pipe(withDatabase)
  )

  it.live("keeps what SET did for the statements after a commit and for those of a later run", () =>
    Effect.gen(function* () {
      const start = "CREATE SCHEMA s;\nSET search_path = s;\nCREATE TABLE t (id int);\nSET ROLE postgres;\n"
      const files = (last: string) => ({ "0001_s.sql": `${start}CREATE INDEX CONCURRENTLY t_id ON t (id);\n${last}` })
      const broken = yield* harness(files("SELECT nope;"))
      yield* Effect.flip(broken.migrator.up())
      const { migrator, sql } = yield* harness(
        files("CREATE TABLE u (id int);\nCREATE INDEX CONCURRENTLY u_id ON u (id);")
      )
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0001"])
      const made = yield* sql`SELECT indexname AS name FROM pg_indexes WHERE schemaname = 's' ORDER BY 1`
      assert.deepStrictEqual(made, [{ name: "t_id" }, { name: "u_id" }])
    }).pipe(withDatabase)
  )

  it.live("finalizes a detach that timed out behind a reader", () =>
    Effect.gen(function* () {
      const { events, migrator, sql } = yield* harness(
        {
          "0001_p.sql":
            "CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);",
          "0002_d.sql": "ALTER TABLE public.p DETACH PARTITION p1 CONCURRENTLY;"
        },
        { concurrentlyTimeout: "500 millis" }
      )
      yield* migrator.up({ to: "1" })
      const error = yield* sql.withTransaction(Effect.zipRight(sql`SELECT * FROM p`, Effect.flip(migrator.up())))
      assert.strictEqual(error.database?.reason, "StatementTimeout")
      assert.deepStrictEqual(yield* sql`SELECT inhdetachpending AS pending FROM pg_inherits`, [{ pending: true }])
      assert.deepStrictEqual(ids(yield* migrator.up()), ["0002"])
      assert.deepStrictEqual(yield* sql`SELECT FROM pg_inherits`, [])
      assert.deepInclude(events.filter(({ _tag }) => _tag === "Repaired")[0], {
        description: "finalized the pending detach of p1"
      })
    }).pipe(withDatabase)
  )

  it.live("takes for done what was done when the run before was killed: a detach, a dropped database", () =>
    Effect.gen(function* () {
      const database = `plinth_made_${Date.now()}`
      const { events, migrator, sql } = yield* harness({
        "0001_p.sql":
          "CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);",
        "0002_d.sql": `ALTER TABLE p DETACH PARTITION p1 CONCURRENTLY;\nCREATE DATABASE ${database};\nDROP DATABASE ${database};\nREINDEX TABLE CONCURRENTLY p2;`
      })
      yield* migrator.up()
      assert.deepStrictEqual(yield* sql`SELECT count(*)::int AS n FROM pg_inherits`, [{ n: 1 }])
      for (const statement of [1, 3, 4]) {
        yield* sql`UPDATE plinth.migration SET status = 'started', statements_done = ${statement - 1}, finished_at = NULL,
          in_flight = jsonb_build_object('statement', ${statement}::int, 'indexes', '[]'::jsonb) WHERE id = '0002'`
        yield* migrator.up()
      }
      assert.strictEqual(states(yield* migrator.status)["0002"], "applied")
      assert.lengthOf(
        events.filter(({ _tag }) => _tag === "Repaired"),
        2
      )
    }).pipe(withDatabase)
  )

  it.live("refuses COMMIT, psql commands and COPY FROM STDIN before anything runs", () =>
    Effect.gen(function* () {
      for (const statement of ["COMMIT", "BEGIN", "\\i other.sql", "COPY t FROM stdin"]) {
        const { migrator } = yield* harness({ ...table, "0002_x.sql": `VACUUM t;\n${statement};` })
        const error = yield* Effect.flip(migrator.up())
        assert.strictEqual(error.reason, "UnsupportedStatement")
        assert.deepStrictEqual(error.location, { file: "0002_x.sql", line: 2, column: 1 })
        assert.strictEqual((yield* migrator.status).pending, 2)
      }
    }).pipe(withDatabase)
  )

  it.live("refuses the rows of a pg_dump before anything runs, and reads what stands after them as SQL", () =>
    Effect.gen(function* () {
      const dump =
        "CREATE TABLE d (id int, t text);\n\nCOPY public.d (id, t) FROM stdin;\n1\tit's; one\n\\.\n\nSELECT 2;\n"
      const { migrator, sql } = yield* harness({ ...table, "0002_dump.sql": dump })
      const error = yield* Effect.flip(migrator.up())
      assert.strictEqual(error.reason, "UnsupportedStatement")
      assert.deepStrictEqual(error.location, { file: "0002_dump.sql", line: 3, column: 1 })
      assert.match(error.advice, /INSERT.*pg_dump --inserts.*\\copy/)
      const [, { segments = [] } = {}] = (yield* migrator.plan()).migrations
      assert.deepStrictEqual(
        segments.flatMap(({ statements }) => statements.map(({ line }) => line)),
        [1, 3, 7]
      )
      assert.deepStrictEqual(yield* sql`SELECT to_regclass('d')::text AS d, to_regclass('t')::text AS t`, [
        { d: null, t: null }
      ])
    }).pipe(withDatabase)
  )
})
