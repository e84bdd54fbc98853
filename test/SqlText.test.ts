import { assert, describe, it } from "@effect/vitest"
import { SqlText } from "effect-plinth"
import * as fc from "effect/FastCheck"
import { scanSync } from "libpg-query"
import { check, patience } from "./SqlClassifier/check.ts"
import { scripts, soup, sql as anySql } from "./SqlClassifier/grammar.ts"
import { truthOf } from "./SqlClassifier/tree.ts"

const texts = (sql: string): ReadonlyArray<string> => SqlText.statements(sql).map(({ text }) => text)
const cut = (sql: string): ReadonlyArray<string> =>
  SqlText.tokenize(sql).map(({ end, kind, start }) => `${kind}:${sql.slice(start, end)}`)

const comments = new Set(["SQL_COMMENT", "C_COMMENT"])

/** PostgreSQL's own lexer; `undefined` where it refuses the text. Offsets in bytes. */
const scan = (sql: string) => {
  try {
    return scanSync(sql).tokens
  } catch {
    return undefined
  }
}

const bytesOf = (sql: string) => Buffer.from(sql, "utf8")

describe("SqlText", () => {
  describe("tokenize", () => {
    it.each<[string, ReadonlyArray<string>]>([
      ["a$b$ $1", ["word:a$b$", "parameter:$1"]],
      ["/* a /* b */ */ 1 -- c", ["comment:/* a /* b */ */", "number:1", "comment:-- c"]],
      ["'\\' E'\\'' 'it''s'", ["string:'\\'", "string:E'\\''", "string:'it''s'"]],
      ["E'a' -- b\n '\\'' c", ["string:E'a' -- b\n '\\''", "word:c"]],
      ["'a' 'b'", ["string:'a'", "string:'b'"]],
      ["$a$ $b$ $$ $a$ $$;$$", ["string:$a$ $b$ $$ $a$", "string:$$;$$"]],
      ['"a""b" U&"d\\0061"', ['quoted:"a""b"', 'quoted:U&"d\\0061"']],
      ["N'x' X'1F' b'0'", ["word:N", "string:'x'", "string:X'1F'", "string:b'0'"]],
      [
        "1..2 1.5e-3 .5 0x1F 1_000",
        ["number:1", "punctuation:..", "number:2", "number:1.5e-3", "number:.5", "number:0x1F", "number:1_000"]
      ],
      ["a=-1", ["word:a", "operator:=", "operator:-", "number:1"]],
      ["a@-1", ["word:a", "operator:@-", "number:1"]],
      ["a+--b\n*/*c*/d", ["word:a", "operator:+", "comment:--b", "operator:*", "comment:/*c*/", "word:d"]],
      [
        "a::int :b => 1",
        ["word:a", "punctuation:::", "word:int", "punctuation::", "word:b", "operator:=>", "number:1"]
      ],
      ["'open", ["invalid:'open"]],
      ["/* /* */ open", ["invalid:/* /* */ open"]],
      ["$x$ open $y$", ["invalid:$x$ open $y$"]],
      ["\\d", ["invalid:\\", "word:d"]]
    ])("cuts %j as PostgreSQL does", (sql, tokens) => {
      assert.deepStrictEqual(cut(sql), tokens)
    })

    it("agrees with PostgreSQL's lexer on every token, whatever the text", patience, async () => {
      let compared = 0
      await check(fc.oneof(soup, { weight: 1, arbitrary: anySql }), 4000, (sql) => {
        const theirs = scan(sql)
        // libpg-query reports comments as tokens, so that they break a continued literal; in the server they do not
        // (SqlClassifier.integration.test.ts).
        if (theirs === undefined || /'\s*--/.test(sql)) return
        compared++
        const bytes = bytesOf(sql)
        assert.deepStrictEqual(
          SqlText.tokenize(sql).map(({ end, start }) => sql.slice(start, end)),
          theirs.map(({ end, start }) => bytes.toString("utf8", start, end))
        )
      })
      assert.isAbove(compared, 1000)
    })

    it("gives back every character of any text that is not white space", patience, async () => {
      await check(fc.oneof(fc.string(), soup), 2000, (sql) => {
        let end = 0
        for (const token of SqlText.tokenize(sql)) {
          assert.isAtLeast(token.start, end)
          assert.match(sql.slice(end, token.start), /^[ \t\n\r\f\v]*$/)
          assert.isAbove(token.end, token.start)
          end = token.end
        }
        assert.match(sql.slice(end), /^[ \t\n\r\f\v]*$/)
      })
    })
  })

  describe("statements", () => {
    it.each<[string, ReadonlyArray<string>]>([
      ["select 1; select 2", ["select 1", "select 2"]],
      [";; /* nothing */ ; -- either\n;", []],
      ["select ';', \";\", $$;$$, E'\\';' /* ; */ ; select 2", ["select ';', \";\", $$;$$, E'\\';'", "select 2"]],
      [
        "create rule r as on insert to t do (select 1; select 2); select 3",
        ["create rule r as on insert to t do (select 1; select 2)", "select 3"]
      ],
      [
        "create or replace procedure p() begin atomic select case when a then 1 end; select a end; end; select 2",
        ["create or replace procedure p() begin atomic select case when a then 1 end; select a end; end", "select 2"]
      ],
      ["begin; select 1; end", ["begin", "select 1", "end"]],
      ["select 'open; select 2", ["select 'open; select 2"]],
      ["\ufeffselect 1", ["select 1"]]
    ])("splits %j where the server would", (sql, expected) => {
      assert.deepStrictEqual(texts(sql), expected)
    })

    it("finds the same boundaries as PostgreSQL's parser", patience, async () => {
      let compared = 0
      await check(fc.oneof({ weight: 3, arbitrary: scripts }, { weight: 1, arbitrary: anySql }), 1000, (sql) => {
        const truth = truthOf(sql)
        const tokens = scan(sql)
        if (truth === undefined || tokens === undefined) return
        compared++
        const bytes = bytesOf(sql)
        const expected = truth.spans.map(({ end = bytes.length, start }) => {
          const inside = tokens.filter(
            (token) => token.start >= start && token.end <= end && !comments.has(token.tokenName)
          )
          return bytes.toString("utf8", inside[0]?.start, inside.at(-1)?.end)
        })
        assert.deepStrictEqual(texts(sql), expected)
      })
      assert.isAbove(compared, 600)
    })

    it("keeps the rows of COPY .. FROM stdin apart from the SQL", () => {
      const sql =
        "COPY t (a) FROM stdin WITH (FORMAT csv); -- rows\r\n1;'\r\n\\.x\r\n\\.\r\nSELECT 2;\nCOPY u FROM STDIN;\n\\.\n"
      assert.deepStrictEqual(
        SqlText.statements(sql).map(({ rows, text }) => ({ rows, text })),
        [
          { rows: "1;'\r\n\\.x\r\n", text: "COPY t (a) FROM stdin WITH (FORMAT csv)" },
          { rows: undefined, text: "SELECT 2" },
          { rows: "", text: "COPY u FROM STDIN" }
        ]
      )
    })

    it("takes what follows a COPY .. FROM stdin without a last line for SQL", () => {
      assert.deepStrictEqual(texts("COPY t FROM stdin;\nselect 1"), ["COPY t FROM stdin", "select 1"])
    })

    it("says where a statement begins, with any kind of line end", () => {
      const sql = "\ufeff-- one\r\nselect 1;\r  select 2;\n\n\tselect 3"
      assert.deepStrictEqual(
        SqlText.statements(sql).map(({ column, end, line, start, text }) => [
          line,
          column,
          sql.slice(start, end) === text
        ]),
        [
          [2, 1, true],
          [3, 3, true],
          [5, 2, true]
        ]
      )
    })

    it("splits a megabyte with ten thousand nested parentheses in one pass", () => {
      const nested = `SELECT ${"(".repeat(10_000)}1${")".repeat(10_000)};\n`
      const sql = nested + "select a, b from t where x = 'foo;' and y = $1; -- comment\n".repeat(17_000)
      assert.isAbove(sql.length, 1_000_000)
      const times = Array.from({ length: 5 }, () => {
        const begin = performance.now()
        assert.strictEqual(SqlText.statements(sql).length, 17_001)
        return performance.now() - begin
      })
      // 15 to 25 ms on a free core; the bound leaves room for a busy one.
      assert.isBelow(Math.min(...times), 150)
    })
  })

  describe("normalize", () => {
    it("is the same for layouts, comments, keyword case, line ends and empty statements that mean the same", () => {
      const forms = [
        "SELECT a, 'x' FROM T;",
        "\ufeffselect a ,/* c */'x'\r\n  from t -- end\r\n;;",
        "Select\ta,'x' From t"
      ]
      assert.deepStrictEqual(new Set(forms.map(SqlText.normalize)).size, 1)
      assert.strictEqual(SqlText.normalize(forms[0] ?? ""), "select a , 'x' from t")
    })

    it.each([
      ["select 1", "select 2"],
      ['select "A"', "select a"],
      ["select 'A'", "select 'a'"],
      ["select E'x'", "select E 'x'"],
      ["select a <= b", "select a < = b"],
      ["select $$ a $$", "select $$a$$"],
      ["COPY t FROM stdin;\n1\n\\.\n", "COPY t FROM stdin;\n2\n\\.\n"]
    ])("differs between %j and %j", (one, other) => {
      assert.notStrictEqual(SqlText.normalize(one), SqlText.normalize(other))
    })

    it("means the same to PostgreSQL as the text it was made of", patience, async () => {
      await check(anySql, 300, (sql) => {
        const truth = truthOf(sql)
        if (truth === undefined) return
        const normal = truthOf(SqlText.normalize(sql))
        assert.deepStrictEqual([normal?.writes, normal?.relations], [truth.writes, truth.relations])
        assert.strictEqual(SqlText.normalize(SqlText.normalize(sql)), SqlText.normalize(sql))
      })
    })
  })

  describe("tables", () => {
    it("names exactly the relations of the syntax tree that no CTE shadows", patience, async () => {
      let compared = 0
      await check(anySql, 1000, (sql) => {
        const truth = truthOf(sql)
        if (truth === undefined) return
        compared++
        assert.deepStrictEqual([...SqlText.tables(sql)].sort(), [...truth.relations].sort())
      })
      assert.isAbove(compared, 800)
    })

    it.each<[string, ReadonlyArray<string>]>([
      ["with a as (select * from a) select * from a", ["a"]],
      ['select * from "Order" o, Public.LINES', ["Order", "public.lines"]],
      ["truncate a, only b", ["a", "b"]],
      ["create unique index concurrently if not exists i on public.t (a)", ["public.t"]],
      ["refresh materialized view concurrently mv", ["mv"]],
      ["drop function f; create extension x", []],
      ["select extract(year from d), a is distinct from b, trim(both x from y) from t", ["t"]]
    ])("of %j are %j", (sql, expected) => {
      assert.deepStrictEqual(SqlText.tables(sql), expected)
    })
  })

  describe("summary", () => {
    it.each([
      ["select * from orders where id = 'secret'", "SELECT orders"],
      [
        "insert into shipping select * from orders o join customers c using (id)",
        "INSERT shipping SELECT orders customers"
      ],
      ["with x as (delete from a returning *) select * from x, b", "DELETE a SELECT b"],
      ["create table if not exists s.t (a int)", "CREATE TABLE s.t"],
      ["copy t (a) from stdin", "COPY t"],
      ["begin", "BEGIN"],
      ["explain analyze update t set a = 1", "EXPLAIN UPDATE t"],
      ["call pay(1)", "CALL pay"]
    ])("of %j is %j", (sql, expected) => {
      assert.strictEqual(SqlText.summary(sql), expected)
    })

    it("stays within 255 characters and ends with a whole word", () => {
      const sql = `select * from ${Array.from({ length: 90 }, (_, i) => `table_${i}`).join(", ")}`
      const summary = SqlText.summary(sql)
      assert.isAtMost(summary.length, 255)
      assert.match(summary, /^SELECT(?: table_\d+)+$/)
    })
  })
})
