import { assert, describe, it } from "@effect/vitest"
import { SqlClassifier, SqlText } from "effect-plinth"
import * as fc from "effect/FastCheck"
import { check, patience } from "./SqlClassifier/check.ts"
import { reads, refused, sessions } from "./SqlClassifier/corpus.ts"
import { mutatedSql, soup, sql as anySql } from "./SqlClassifier/grammar.ts"
import { truthOf } from "./SqlClassifier/tree.ts"

const classOf = (sql: string) => SqlClassifier.classify(sql, SqlClassifier.builtin).class

/** Statements of the corpus that the catalogue without a server judges as the one of a server does. */
const writes = refused.filter((sql) => classOf(sql) === "write")

describe("SqlClassifier", () => {
  it("calls a statement a write exactly where its syntax tree holds one", patience, async () => {
    let compared = 0
    await check(anySql, 1500, (sql) => {
      const truth = truthOf(sql)
      if (truth === undefined) return
      compared++
      const { class: found, reason } = SqlClassifier.classify(sql, SqlClassifier.builtin)
      assert.strictEqual(found, truth.writes ? "write" : "read", reason)
    })
    assert.isAbove(compared, 1200)
  })

  it("judges any text without throwing, and none a read that PostgreSQL parses as a write", patience, async () => {
    await check(fc.oneof(fc.string(), soup, mutatedSql), 4000, (text) => {
      const { class: found, reason } = SqlClassifier.classify(text, SqlClassifier.builtin)
      assert.isNotEmpty(reason)
      if (found !== "read") return
      const truth = truthOf(text)
      assert.notStrictEqual(truth?.writes, true)
      // A relation that was not seen could be an unlogged table or a view over a volatile function.
      assert.includeMembers([...SqlText.tables(text)], [...(truth?.relations ?? [])])
    })
  })

  it.each<[string, (sql: string) => string]>([
    ["upper case", (sql) => (/['"$\\]/.test(sql) ? sql : sql.toUpperCase())],
    ["comments around it", (sql) => `/* select 1; */ -- select\n${sql} /* for reading */`],
    ["another statement before it", (sql) => `select 1; ${sql}`],
    ["another statement behind it", (sql) => `${sql}\n; select 1`],
    ["line ends of another system", (sql) => sql.replaceAll(" ", "\r\n\t")]
  ])("does not take a write for anything else because of %s", (_, wrap) => {
    assert.isAbove(writes.length, 80)
    // A newline joins two literals: that changes what the statement is.
    const wrapped = writes.filter((sql) => !/' '|--/.test(sql)).map(wrap)
    assert.deepStrictEqual(
      wrapped.filter((sql) => classOf(sql) !== "write"),
      []
    )
  })

  it("finds a write in any depth of queries, and in one that is prepared for a client", () => {
    const queries = writes.filter((sql) => /^(?:select|values|with|table|\()/i.test(sql) && !/;|\binto\b|--/.test(sql))
    assert.isAbove(queries.length, 30)
    for (const wrap of [
      (sql: string) => `select * from (${sql}) x`,
      (sql: string) => `with x as (${sql}) select 1 from x`,
      (sql: string) => `select coalesce(1, (select 1 from (${sql}) x))`,
      (sql: string) => `copy (${sql}) to stdout`,
      (sql: string) => `explain (analyze, timing off) ${sql}`,
      (sql: string) => `${"(".repeat(2000)}${sql}${")".repeat(2000)}`
    ]) {
      assert.deepStrictEqual(
        queries.map(wrap).filter((sql) => classOf(sql) !== "write"),
        []
      )
    }
  })

  it("keeps every session statement of the corpus from a pool", () => {
    assert.deepStrictEqual(
      sessions.filter((sql) => classOf(sql) !== "session"),
      []
    )
  })

  it("takes the reads of the corpus for nothing worse than unknown where it lacks the server's names", () => {
    const others = reads.filter((sql) => classOf(sql) !== "read")
    assert.deepStrictEqual([...new Set(others.map(classOf))], ["unknown"])
    assert.isBelow(others.length, 10)
  })

  it.each([
    ["select nextval('s')", "nextval() is volatile"],
    ["select U&\"pg_!0063atalog\" uescape '!'.nextval('s')", "pg_catalog.nextval() is volatile"],
    ["select txid_current()", "txid_current() assigns a transaction id"],
    ["with d as (delete from t returning *) table d", "DELETE inside a query"],
    ["copy t to program 'cat'", "COPY TO a file or program of the server"],
    ["commit prepared 'x'", "COMMIT PREPARED"],
    ["select mine(1)", "function mine is not in the catalogue"],
    ["selec 1", "SELEC is no statement of PostgreSQL"],
    ["select (1", "a parenthesis left open"],
    ["select 'x", "a character that is not SQL, or a literal or comment without end"],
    ["set x = 1; select 1", "SET"]
  ])("gives for %j the reason %j", (sql, reason) => {
    assert.strictEqual(SqlClassifier.classify(sql, SqlClassifier.builtin).reason, reason)
  })

  it.each([
    ["set x = 1; select 1", "session"],
    ["select 1; set x = 1; select mine(1)", "unknown"],
    ["select mine(1); set x = 1; delete from t", "write"],
    ["explain delete from t; delete from t", "write"],
    ["explain analyze delete from t; select 1", "write"]
  ])("takes the worst of several statements: %j is %s", (sql, expected) => {
    assert.strictEqual(classOf(sql), expected)
  })

  it.each([
    "select pg_promote()",
    "select pg_wal_replay_pause()",
    "select pg_terminate_backend(1)",
    "select pg_reload_conf()",
    "select pg_stat_reset()",
    "select pg_export_snapshot()",
    "select lo_unlink(1)",
    "select lastval(), currval('s')"
  ])("keeps %j on the primary, although a standby would run it", (sql) => {
    assert.strictEqual(classOf(sql), "write")
  })

  it("takes own functions for reads where the caller says so, by their name or their schema's", () => {
    const catalog = SqlClassifier.builtinWith({ allow: ["mine", "pg_catalog.nextval"] })
    assert.strictEqual(SqlClassifier.classify("select mine(1), nextval('s')", catalog).class, "read")
    assert.strictEqual(SqlClassifier.classify("select setval('s', 1)", catalog).class, "write")
  })

  it("is done with ten thousand nested parentheses and a megabyte within a few milliseconds per hundred kilobytes", () => {
    const nested = `select ${"(".repeat(10_000)}1${")".repeat(10_000)}`
    assert.strictEqual(classOf(nested), "read")
    assert.strictEqual(classOf(`select ${"(select ".repeat(10_000)}nextval('s')${")".repeat(10_000)}`), "write")
    const large = `select * from t where id in (${Array.from({ length: 150_000 }, (_, i) => i).join(", ")})`
    assert.isAbove(large.length, 1_000_000)
    const begin = performance.now()
    assert.strictEqual(classOf(large), "read")
    // About 60 ms on a free core.
    assert.isBelow(performance.now() - begin, 1_000)
  })

  describe("make", () => {
    it("answers the same text from memory", () => {
      const classifier = SqlClassifier.make(SqlClassifier.builtin)
      assert.strictEqual(classifier.classify("select 1"), classifier.classify("select 1"))
    })

    it("forgets texts that were not asked for lately, and none of those that were", () => {
      const classifier = SqlClassifier.make(SqlClassifier.builtin, { capacity: 10 })
      const lately = classifier.classify("select 'lately'")
      const once = classifier.classify("select 'once'")
      for (let i = 0; i < 100; i++) {
        classifier.classify(`select ${i}`)
        assert.strictEqual(classifier.classify("select 'lately'"), lately)
      }
      assert.notStrictEqual(classifier.classify("select 'once'"), once)
    })

    it("keeps a text on the primary once a standby has refused it, whatever a newer catalogue says", () => {
      const classifier = SqlClassifier.make(SqlClassifier.builtin)
      assert.strictEqual(classifier.classify("select lower('a')").class, "read")
      classifier.learn("select lower('a')")
      assert.strictEqual(classifier.classify("select lower('a')").class, "write")
      classifier.replaceCatalog(SqlClassifier.builtin)
      assert.strictEqual(classifier.classify("select lower('a')").class, "write")
      assert.strictEqual(classifier.classify("select lower('b')").class, "read")
    })

    it("judges anew when the catalogue is replaced", () => {
      const classifier = SqlClassifier.make(SqlClassifier.builtin)
      assert.strictEqual(classifier.classify("select mine()").class, "unknown")
      classifier.replaceCatalog(SqlClassifier.builtinWith({ allow: ["mine"] }))
      assert.strictEqual(classifier.classify("select mine()").class, "read")
    })
  })
})
