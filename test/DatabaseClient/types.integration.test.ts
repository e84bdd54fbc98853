/**
 * What values become.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { ConnectionPool } from "effect-plinth"
import { Database, PoolOptimizer } from "effect-plinth"
import { TestDatabase } from "effect-plinth/testing"

const client = (types?: ConnectionPool.TypeOptions) =>
  Layer.unwrapEffect(
    Effect.map(TestDatabase.TestDatabase, ({ url }) =>
      Database.layer({ url, maxConnections: 2, types, health: { background: false } })
    )
  )

const int8 = "SELECT 9007199254740993::int8 AS one, '{{1,NULL},{-9223372036854775808,4}}'::int8[] AS many"

layer(TestDatabase.layer(), { excludeTestServices: true })("values", (it) => {
  it.effect("of int8 are strings, as with the stock client, or bigints", () =>
    Effect.gen(function* () {
      const read = Effect.flatMap(PgClient.PgClient, (sql) => sql.unsafe(int8))
      const strings = [
        {
          one: "9007199254740993",
          many: [
            ["1", null],
            ["-9223372036854775808", "4"]
          ]
        }
      ]
      assert.deepStrictEqual(yield* Effect.provide(read, client()), strings)
      const stock = Layer.unwrapEffect(Effect.map(TestDatabase.TestDatabase, ({ url }) => PgClient.layer({ url })))
      assert.deepStrictEqual(yield* Effect.provide(read, stock), strings)
      assert.deepStrictEqual(yield* Effect.provide(read, client({ int8: "bigint" })), [
        {
          one: 9007199254740993n,
          many: [
            [1n, null],
            [-9223372036854775808n, 4n]
          ]
        }
      ])
    })
  )

  it.effect("are what a parser makes of their text, in transactions, streams and lanes too", () =>
    Effect.gen(function* () {
      const sql = yield* PgClient.PgClient
      const point = sql<{ p: unknown }>`SELECT point(1, 2) AS p`
      const expected = [{ p: "at (1,2)" }]
      assert.deepStrictEqual(yield* point, expected)
      assert.deepStrictEqual(yield* sql.withTransaction(point), expected)
      assert.deepStrictEqual(
        yield* Effect.all(
          Array.from({ length: 50 }, () => point),
          { concurrency: 50 }
        ),
        Array.from({ length: 50 }, () => expected)
      )
    }).pipe(Effect.provide(client({ parsers: { 600: (text) => `at ${text}` } })))
  )

  it.effect("that are read in a way of one's own make a survey fail with words, and not as a defect", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(PoolOptimizer.survey)
      assert.strictEqual(error.reason, "InvalidData")
      assert.include(error.message, "the client's own parsers")
    }).pipe(Effect.provide(client({ parsers: { 23: BigInt } })))
  )

  it.effect("of every kind read back as the stock client reads them", () =>
    Effect.gen(function* () {
      const read = Effect.flatMap(
        PgClient.PgClient,
        (sql) => sql`
          SELECT true AS bool, 1::int2 AS int2, 1.5::float8 AS float8, 'NaN'::float4 AS float4, 1.10::numeric AS numeric,
            '2024-02-29'::date AS date, '2024-02-29 12:34:56.789'::timestamp AS timestamp,
            '2024-02-29 12:34:56.789+02'::timestamptz AS timestamptz, 'infinity'::timestamptz AS forever,
            '1 year 2 days 03:04:05.006'::interval AS interval, '\\xdeadbeef'::bytea AS bytea,
            '{"a": [1, null]}'::jsonb AS object, '"text"'::json AS text, 'null'::jsonb AS none, '[1]'::jsonb AS array,
            ARRAY['a', NULL, 'b"c'] AS texts, ARRAY[]::int[] AS empty, '[1,5)'::int4range AS range,
            'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS uuid, '192.168.0.1/24'::inet AS inet, NULL::int AS missing`
      )
      const stock = Layer.unwrapEffect(Effect.map(TestDatabase.TestDatabase, ({ url }) => PgClient.layer({ url })))
      const expected = yield* Effect.provide(read, stock)
      const [row] = yield* Effect.provide(read, client())
      assert.deepStrictEqual({ ...row }, { ...expected[0] })
      assert.deepStrictEqual(row?.["object"], { a: [1, null] })
    })
  )
})
