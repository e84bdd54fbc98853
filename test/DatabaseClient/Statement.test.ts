/**
 * Statements that skip the stock statement's overhead, and are otherwise the same.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Statement from "@effect/sql/Statement"
import { assert, describe, it } from "@effect/vitest"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Tracer from "effect/Tracer"
import { ScriptedSql } from "effect-plinth/testing"

const stock = Statement.make(Effect.never, PgClient.makeCompiler(), [], undefined)

const select = { sql: /^SELECT/, answer: [{ id: 1 }] }

describe("a statement", () => {
  it.effect("compiles to what the stock statement compiles to", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const templates = (it: Statement.Constructor) => [
        it`SELECT 1`,
        it`SELECT ${1}, ${"two"}, ${null}, ${undefined}, ${true}, ${[1, 2]}, ${new Date(0)}, ${{ a: 1 }}`,
        it`${1}${2}`,
        it`SELECT ${it("column")} FROM ${it("table")} WHERE ${it.in("id", [1, 2])} AND x = ${3}`,
        it`SELECT * FROM t WHERE ${it.and([it`a = ${1}`, it`b = ${2}`])}`,
        it`INSERT INTO t ${it.insert({ a: 1, b: "x" }).returning("*")}`,
        it`UPDATE t SET ${it.update({ a: 1, b: 2 }, ["b"])} WHERE a = ${Option.some(1)}`,
        it.unsafe("SELECT $1, ';'", [1]),
        it.unsafe("SELECT 1"),
        it`SELECT ${it.literal("now()")}, ${1}`
      ]
      const ours = templates(sql)
      const theirs = templates(stock)
      for (const [index, statement] of ours.entries()) {
        assert.deepStrictEqual(statement.compile(), theirs[index]?.compile())
        assert.deepStrictEqual(statement.segments, theirs[index]?.segments)
        assert.isTrue(Statement.isFragment(statement))
      }
    }).pipe(Effect.provide(ScriptedSql.layer([])))
  )

  it.effect("compiles the same template anew for other kinds of values", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const where = (value: unknown) => sql`SELECT * FROM t WHERE ${value}`.compile()
      assert.deepStrictEqual(where(1), ["SELECT * FROM t WHERE $1", [1]])
      assert.deepStrictEqual(where(sql`a = ${2}`), ["SELECT * FROM t WHERE a = $1", [2]])
      assert.deepStrictEqual(where(3), ["SELECT * FROM t WHERE $1", [3]])
    }).pipe(Effect.provide(ScriptedSql.layer([])))
  )

  it.effect("has a span with its text where a tracer is installed", () => {
    const spans: Array<Tracer.Span> = []
    const tracer = Tracer.make({
      span: (name, parent, context, links, startTime, kind) => {
        const attributes = new Map<string, unknown>()
        const span: Tracer.Span = {
          _tag: "Span",
          name,
          parent,
          context,
          links,
          kind,
          attributes,
          spanId: "span",
          traceId: "trace",
          sampled: true,
          status: { _tag: "Started", startTime },
          attribute: (key, value) => void attributes.set(key, value),
          addLinks: () => {},
          event: () => {},
          end: () => {}
        }
        spans.push(span)
        return span
      },
      context: (f) => f()
    })
    return Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      assert.deepStrictEqual(yield* sql`SELECT ${1}`, [{ id: 1 }])
      assert.deepStrictEqual(
        spans.map(({ attributes, name }) => [name, attributes.get("db.query.text")]),
        [["sql.execute", "SELECT $1"]]
      )
    }).pipe(Effect.provide(ScriptedSql.layer([select])), Effect.withTracer(tracer))
  })

  it.effect("passes through the transformer of its fiber", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      yield* sql`SELECT ${1}`.pipe(
        Statement.withTransformer((statement, sql) => Effect.succeed(sql`${statement} -- ${sql.literal("marked")}`))
      )
      assert.deepStrictEqual(yield* (yield* ScriptedSql.ScriptedSql).ran, [{ sql: "SELECT $1 -- marked", params: [1] }])
    }).pipe(Effect.provide(ScriptedSql.layer([select])))
  )

  it.effect("answers rows in each form that the stock statement has", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const statement = sql<{ id: number }>`SELECT id`
      assert.deepStrictEqual(yield* statement, [{ id: 1 }])
      assert.deepStrictEqual(yield* statement.withoutTransform, [{ id: 1 }])
      assert.deepStrictEqual(yield* statement.unprepared, [{ id: 1 }])
      assert.deepStrictEqual(yield* statement.values, [[1]])
      assert.deepStrictEqual(Chunk.toReadonlyArray(yield* Stream.runCollect(statement.stream)), [{ id: 1 }])
      assert.deepInclude(yield* statement.raw, { rows: [{ id: 1 }] })
      // It is a value: run again, it runs again.
      assert.deepStrictEqual(yield* statement, [{ id: 1 }])
    }).pipe(Effect.provide(ScriptedSql.layer([select, select, select, select, select, select, select])))
  )

  it.effect("shows its text and no parameter in JSON", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      assert.strictEqual(
        JSON.stringify(sql`SELECT ${"a secret"}`),
        JSON.stringify({ _id: "@effect/sql/Statement", sql: "SELECT $1" })
      )
    }).pipe(Effect.provide(ScriptedSql.layer([])))
  )
})
