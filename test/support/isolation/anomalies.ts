/**
 * The anomalies of https://github.com/ept/hermitage as interleavings of sessions; each tells whether it occurred. The
 * table holds the rows (1, 10) and (2, 20).
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import * as Effect from "effect/Effect"
import { open } from "./Session.ts"
import type { Isolation, Row } from "./Session.ts"

/** The table and three transactions, of which not every anomaly needs all. */
const stage = (isolation: Isolation) =>
  Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    const select = sql<Row>`SELECT id, value FROM test ORDER BY id`
    return {
      sql,
      t1: yield* open(isolation),
      t2: yield* open(isolation),
      t3: yield* open(isolation),
      select,
      at: (id: number) => sql<Row>`SELECT id, value FROM test WHERE id = ${id}`,
      divisible: sql<Row>`SELECT id, value FROM test WHERE value % 3 = 0`,
      set: (id: number, value: number) => sql`UPDATE test SET value = ${value} WHERE id = ${id}`,
      insert: (id: number, value: number) => sql`INSERT INTO test VALUES (${id}, ${value})`,
      values: Effect.map(select, (rows) => rows.map(({ value }) => value))
    }
  })

const shows = (rows: ReadonlyArray<Row>, value: number) => rows.some((row) => row.value === value)

export const anomalies = {
  "G0 (write cycle)": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { set, t1, t2, values } = yield* stage(isolation)
      yield* t1.start(set(1, 11))
      yield* t2.start(set(1, 12))
      yield* t2.start(set(2, 22))
      yield* t1.start(set(2, 21))
      yield* t1.commit
      yield* t2.commit
      return ["11,22", "12,21"].includes((yield* values).join())
    }),

  "G1a (aborted read)": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { select, set, t1, t2 } = yield* stage(isolation)
      yield* t1.start(set(1, 101))
      const before = yield* t2.rows(select)
      yield* t1.abort
      const after = yield* t2.rows(select)
      yield* t2.commit
      return shows(before, 101) || shows(after, 101)
    }),

  "G1b (intermediate read)": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { select, set, t1, t2 } = yield* stage(isolation)
      yield* t1.start(set(1, 101))
      const before = yield* t2.rows(select)
      yield* t1.start(set(1, 11))
      yield* t1.commit
      const after = yield* t2.rows(select)
      yield* t2.commit
      return shows(before, 101) || shows(after, 101)
    }),

  "G1c (circular information flow)": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { at, set, t1, t2 } = yield* stage(isolation)
      yield* t1.start(set(1, 11))
      yield* t2.start(set(2, 22))
      const first = yield* t1.rows(at(2))
      const second = yield* t2.rows(at(1))
      yield* t1.commit
      yield* t2.commit
      return shows(first, 22) && shows(second, 11)
    }),

  "OTV (observed transaction vanishes)": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { at, set, t1, t2, t3 } = yield* stage(isolation)
      yield* t1.start(set(1, 11))
      yield* t1.start(set(2, 19))
      yield* t2.start(set(1, 12))
      yield* t1.commit
      yield* t3.rows(at(1))
      yield* t2.start(set(2, 18))
      const during = yield* t3.rows(at(2))
      yield* t2.commit
      const after = yield* t3.rows(at(2))
      const again = yield* t3.rows(at(1))
      yield* t3.commit
      return shows(during, 18) || (shows(after, 18) && shows(again, 11))
    }),

  "PMP (predicate, many preceders)": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { divisible, insert, t1, t2 } = yield* stage(isolation)
      yield* t1.rows(divisible)
      yield* t2.start(insert(3, 30))
      yield* t2.commit
      const after = yield* t1.rows(divisible)
      yield* t1.commit
      return after.length > 0
    }),

  "PMP for a predicate that writes": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { sql, t1, t2 } = yield* stage(isolation)
      yield* t1.start(sql`UPDATE test SET value = value + 10`)
      yield* t2.start(sql`DELETE FROM test WHERE value = 20`)
      yield* t1.commit
      const left = yield* t2.rows(sql<Row>`SELECT id, value FROM test WHERE value = 20`)
      yield* t2.commit
      return left.length > 0
    }),

  "P4 (lost update)": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { at, set, t1, t2 } = yield* stage(isolation)
      yield* t1.rows(at(1))
      yield* t2.rows(at(1))
      yield* t1.start(set(1, 11))
      yield* t2.start(set(1, 12))
      const first = yield* t1.commit
      return (yield* t2.commit) && first
    }),

  "G-single (read skew)": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { at, select, set, t1, t2 } = yield* stage(isolation)
      yield* t1.rows(at(1))
      yield* t2.rows(select)
      yield* t2.start(set(1, 12))
      yield* t2.start(set(2, 18))
      yield* t2.commit
      const other = yield* t1.rows(at(2))
      yield* t1.commit
      return shows(other, 18)
    }),

  "G2-item (write skew)": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { select, set, t1, t2 } = yield* stage(isolation)
      yield* t1.rows(select)
      yield* t2.rows(select)
      yield* t1.start(set(1, 11))
      yield* t2.start(set(2, 21))
      const first = yield* t1.commit
      return (yield* t2.commit) && first
    }),

  "G2 (anti-dependency cycle)": (isolation: Isolation) =>
    Effect.gen(function* () {
      const { divisible, insert, t1, t2 } = yield* stage(isolation)
      yield* t1.rows(divisible)
      yield* t2.rows(divisible)
      yield* t1.start(insert(3, 30))
      yield* t2.start(insert(4, 42))
      const first = yield* t1.commit
      return (yield* t2.commit) && first
    })
} as const

export type Anomaly = keyof typeof anomalies
