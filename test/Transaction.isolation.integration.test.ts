/**
 * What each isolation level prevents: the table of hermitage for PostgreSQL, and histories of random transactions.
 */
import * as PgClient from "@effect/sql-pg/PgClient"
import { assert, layer } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Struct from "effect/Struct"
import { TestDatabase } from "effect-plinth/testing"
import { plinthAt } from "./support/clients.ts"
import { withinSeconds } from "./support/effects.ts"
import { anomalies } from "./support/isolation/anomalies.ts"
import type { Anomaly } from "./support/isolation/anomalies.ts"
import { check } from "./support/isolation/listAppend.ts"
import { runLists } from "./support/isolation/runLists.ts"
import type { Load } from "./support/isolation/runLists.ts"
import type { Isolation } from "./support/isolation/Session.ts"

/** https://github.com/ept/hermitage, the rows of PostgreSQL: what can still happen. */
const allowed: Record<Isolation, ReadonlyArray<Anomaly>> = {
  // Which predicate it finds depends on the order of two statements only.
  none: Struct.keys(anomalies).filter((name) => name !== "PMP for a predicate that writes"),
  "read committed": [
    "PMP (predicate, many preceders)",
    "PMP for a predicate that writes",
    "P4 (lost update)",
    "G-single (read skew)",
    "G2-item (write skew)",
    "G2 (anti-dependency cycle)"
  ],
  "repeatable read": ["G2-item (write skew)", "G2 (anti-dependency cycle)"],
  serializable: []
}

const isLong = process.env["PLINTH_TEST_LONG"] !== undefined
const seed = Number(process.env["PLINTH_TEST_SEED"] ?? 20_260_101)
const load = { sessions: 8, transactions: isLong ? 100 : 25, keys: 4, seed }

/** The findings of a history by name, each with an example. */
const findings = (isolation: Load["isolation"], round = 0) =>
  Effect.map(runLists({ ...load, isolation, seed: seed + round }), ({ attempts, history }) => {
    assert.isAbove(history.committed.length, load.sessions * load.transactions * 0.3)
    // Without conflicts it would say nothing.
    if (isolation !== "read committed") assert.isAbove(attempts, history.committed.length)
    return new Map(check(history).map(({ detail, name }) => [name, detail]))
  })

const database = Layer.unwrapEffect(
  Effect.map(TestDatabase.TestDatabase, ({ url }) => plinthAt(url, { minConnections: 1, maxConnections: 8 }))
).pipe(Layer.provideMerge(TestDatabase.layer()))

layer(database, { excludeTestServices: true })("a transaction", (it) => {
  for (const level of Struct.keys(allowed)) {
    for (const name of Struct.keys(anomalies)) {
      const occurs = allowed[level].includes(name)
      it.scoped(
        `${level === "none" ? "that is none" : `that is ${level}`} ${occurs ? "allows" : "prevents"} ${name}`,
        () =>
          Effect.gen(function* () {
            const sql = yield* PgClient.PgClient
            yield* sql`CREATE TABLE IF NOT EXISTS test (id int PRIMARY KEY, value int NOT NULL)`
            yield* sql`DELETE FROM test`
            yield* sql`INSERT INTO test VALUES (1, 10), (2, 20)`
            assert.strictEqual(yield* anomalies[name](level), occurs)
          })
      )
    }
  }

  it.effect("that is serializable leaves histories without a cycle", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual([...(yield* findings("serializable"))], [])
    })
  )

  it.effect("that is repeatable read leaves histories without read skew or lost updates", () =>
    Effect.gen(function* () {
      const { ["G2"]: _, ...others } = Object.fromEntries(yield* findings("repeatable read"))
      assert.deepStrictEqual(others, {})
    })
  )

  it.effect("that is read committed leaves histories in which cycles are found, and no dirty read", () =>
    Effect.gen(function* () {
      let round = 0
      yield* withinSeconds(
        60,
        Effect.map(
          Effect.suspend(() => findings("read committed", round++)),
          (found) => {
            for (const name of ["G0", "G1c", "lost append", "dirty read", "intermediate read"] as const) {
              assert.isUndefined(found.get(name), `${name}: ${found.get(name)}`)
            }
            return found.has("G-single")
          }
        )
      )
    })
  )
})
