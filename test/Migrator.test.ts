import { assert, describe, it } from "@effect/vitest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { Migrator, SqlText } from "effect-plinth"
import { boundaryOf } from "../src/Migrator/Boundary.ts"
import { diff } from "../src/Migrator/Diff.ts"
import * as Directives from "../src/Migrator/Directives.ts"
import { excerpt, offsetOfPosition, placeOf } from "../src/Migrator/Excerpt.ts"
import { readSections } from "../src/Migrator/Script.ts"
import { isTransactional, segments } from "../src/Migrator/Segments.ts"

const script = (text: string) => Either.getOrThrow(readSections("0001_x.sql", text)).up

describe("directives", () => {
  it("are read from every comment at the head, several on a line", () => {
    const directives = Either.getOrThrow(
      Directives.parse(
        "-- what it does\n-- plinth: lock-timeout=500ms statement-timeout=2min\n/* plinth: no-transaction */\n" +
          "-- plinth: allow=drop-column nobody reads it any more\n-- plinth: depends=0001,0002 environment=test\nSELECT 1"
      )
    )
    assert.deepStrictEqual(directives, {
      noTransaction: false,
      lockTimeout: Duration.millis(500),
      statementTimeout: Duration.minutes(2),
      allow: [{ rule: "drop-column", reason: "nobody reads it any more" }],
      depends: ["0001", "0002"],
      environments: ["test"]
    })
  })

  it("are no directives inside of a string, a body or a comment in blocks", () => {
    const text =
      "SELECT '\n-- plinth: nonsense\n', $$\n-- plinth: nonsense\n-- plinth:down\n$$ /*\n-- plinth: nonsense */"
    assert.isTrue(Either.isRight(Directives.parse(text)))
    assert.isUndefined(Directives.downSection(text))
  })

  it("that nobody knows are refused with the one that was meant", () => {
    const cases = [
      ["-- plinth: no-transacton", "did you mean no-transaction?"],
      ["-- plinth: locktimeout=2s", "did you mean lock-timeout?"],
      ["-- plinth: fast", "the directives are no-transaction, lock-timeout"],
      ["-- plinth: lock-timeout=2", "a whole number with a unit"],
      ["-- plinth: lock-timeout=soon", "a whole number with a unit"],
      ["-- plinth: no-transaction=yes", "write -- plinth: no-transaction"],
      ["-- plinth: allow=drop-column", "why it is right here"],
      ["-- plinth: depends=", "depends=one,two"],
      ["SELECT 1;\n-- plinth: no-transaction\nVACUUM", "move it to the comments at the head"]
    ] as const
    for (const [text, advice] of cases) {
      const fault = Either.getOrThrow(Either.flip(Directives.parse(text)))
      assert.include(fault.advice, advice)
    }
  })

  it("of the head hold for the way back too, which may add to them", () => {
    const text = "-- plinth: lock-timeout=1s\nSELECT 1\n-- plinth:down\n-- plinth: no-transaction\n\nVACUUM;"
    const { down, up } = Either.getOrThrow(readSections("x.sql", text))
    assert.isFalse(up.directives.noTransaction)
    assert.isTrue(down?.directives.noTransaction)
    assert.deepStrictEqual(down?.directives.lockTimeout, Duration.seconds(1))
    assert.deepInclude(down?.statements[0], { text: "VACUUM", line: 6, column: 1, offset: text.indexOf("VACUUM") })
    assert.deepStrictEqual(
      up.statements.map((statement) => statement.text),
      ["SELECT 1"]
    )
  })
})

describe("boundaries", () => {
  const tagOf = (sql: string) => boundaryOf(SqlText.normalize(sql))._tag

  it("put alone exactly what PostgreSQL refuses inside a transaction", () => {
    const alone = [
      "create unique index concurrently i on t (a)",
      "CREATE INDEX /* x */ CONCURRENTLY ON t (a)",
      "drop index concurrently if exists i",
      "REINDEX (VERBOSE) TABLE CONCURRENTLY t",
      "REINDEX (CONCURRENTLY, VERBOSE) TABLE t",
      "REINDEX SCHEMA s",
      "ALTER TABLE s.p DETACH PARTITION p1 CONCURRENTLY",
      "VACUUM (FULL) t",
      "CLUSTER",
      "ALTER SYSTEM SET work_mem = '1MB'",
      "CREATE DATABASE d",
      "DROP TABLESPACE x",
      "ALTER DATABASE d SET TABLESPACE x",
      "CREATE SUBSCRIPTION s CONNECTION '' PUBLICATION p",
      "ALTER SUBSCRIPTION s REFRESH PUBLICATION"
    ]
    for (const sql of alone) assert.strictEqual(tagOf(sql), "Alone", sql)
    const together = [
      "CREATE INDEX concurrently_named ON t (a)",
      "REINDEX TABLE t",
      "REINDEX (CONCURRENTLY FALSE) TABLE t",
      "REFRESH MATERIALIZED VIEW CONCURRENTLY v",
      "ALTER TABLE p DETACH PARTITION p1 FINALIZE",
      "CLUSTER t USING i",
      "ALTER DATABASE d SET work_mem = '1MB'",
      "SELECT 'VACUUM'",
      "COMMENT ON TABLE t IS 'create index concurrently'",
      "ROLLBACK TO SAVEPOINT a",
      "SAVEPOINT a",
      "COPY t TO stdout",
      "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END"
    ]
    for (const sql of together) assert.strictEqual(tagOf(sql), "Together", sql)
    const refused = [
      "BEGIN",
      "start transaction",
      "COMMIT AND CHAIN",
      "END",
      "ROLLBACK",
      "ROLLBACK PREPARED 'x'",
      "COPY t (a) FROM STDIN",
      "COPY t FROM stdout",
      "COPY public.t (a, b) FROM stdin WITH (FORMAT csv)"
    ]
    for (const sql of refused) assert.strictEqual(tagOf(sql), "Refused", sql)
  })

  it("cut a script into as few transactions as possible", () => {
    const lengths = (text: string) =>
      segments(script(text)).map(({ _tag, statements }) => `${_tag} ${statements.length}`)
    assert.deepStrictEqual(lengths("SELECT 1; SELECT 2; VACUUM; SELECT 3"), [
      "Transaction 2",
      "Alone 1",
      "Transaction 1"
    ])
    assert.deepStrictEqual(lengths("SELECT 1; ALTER TYPE t ADD VALUE 'a'; ALTER TYPE t ADD VALUE 'b'; SELECT 2"), [
      "Transaction 3",
      "Transaction 1"
    ])
    assert.deepStrictEqual(lengths("-- plinth: no-transaction\nSELECT 1; CALL p(); SELECT 2"), [
      "Transaction 1",
      "Alone 1",
      "Transaction 1"
    ])
    assert.isTrue(isTransactional(script("SELECT 1; ALTER TYPE t ADD VALUE 'a'")))
    assert.isTrue(isTransactional(script("-- nothing")))
    assert.isFalse(isTransactional(script("VACUUM")))
  })
})

describe("places in a text", () => {
  it("count characters as PostgreSQL does, and the caret stands under them whatever stands before", () => {
    const text = "SELECT 1;\n\tSELECT '😀', nope"
    const offset = offsetOfPosition("SELECT '😀', nope", 13) + text.indexOf("SELECT '")
    assert.strictEqual(text.slice(offset), "nope")
    assert.deepStrictEqual(placeOf(text, offset), { line: 2, column: 14 })
    assert.strictEqual(excerpt(text, offset), "  1 | SELECT 1;\n  2 | \tSELECT '😀', nope\n    | \t            ^")
  })
})

describe("a difference", () => {
  it("shows the lines that changed with a little around them", () => {
    const before = ["a", "b", "c", "d", "e", "f", "g"].join("\n")
    const after = ["a", "b", "c", "d", "E", "f", "g", "h"].join("\n")
    assert.strictEqual(diff(before, after), "  ..\n  c\n  d\n- e\n+ E\n  f\n  g\n+ h")
  })
})

describe("Migrator.fromRecord", () => {
  it.effect("takes keys with paths, and orders by number and not by text", () =>
    Effect.gen(function* () {
      const { load } = yield* Migrator.fromRecord({
        "./migrations/10_b.sql": "SELECT 1",
        "./migrations/9_a.sql": "SELECT 1",
        "./migrations/R__z.sql": "SELECT 1",
        "./migrations/R__a.sql": "SELECT 1",
        "11_c": Migrator.Migration.make({ up: Effect.void })
      })
      const files = yield* load
      assert.deepStrictEqual(
        files.map(({ file }) => file),
        ["9_a.sql", "10_b.sql", "11_c.js", "R__a.sql", "R__z.sql"]
      )
    })
  )

  it.effect("puts a repeatable migration behind the one it depends on, and refuses a circle", () =>
    Effect.gen(function* () {
      const order = (a: string) =>
        Effect.flatMap(
          Migrator.fromRecord({
            "R__a.sql": `-- plinth: depends=${a}\n`,
            "R__b.sql": "",
            "R__c.sql": "-- plinth: depends=R__a\n"
          }),
          ({ load }) => Effect.map(load, (files) => files.map(({ id }) => id))
        )
      assert.deepStrictEqual(yield* order("R__b"), ["R__b", "R__a", "R__c"])
      const error = yield* Effect.flip(order("R__c"))
      assert.include(error.message, "R__a.sql, R__c.sql depend on one another")
    })
  )

  it.effect("says where a directive is wrong", () =>
    Effect.gen(function* () {
      const { load } = yield* Migrator.fromRecord({ "1_a.sql": "-- x\n-- plinth: lock_timeout=2s\nSELECT 1" })
      const error = yield* Effect.flip(load)
      assert.strictEqual(
        error.message,
        [
          `1_a.sql:2:1: unknown directive "lock_timeout"`,
          "  1 | -- x",
          "  2 | -- plinth: lock_timeout=2s",
          "    | ^",
          "what to do: did you mean lock-timeout?"
        ].join("\n")
      )
    })
  )
})
