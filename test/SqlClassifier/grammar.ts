/**
 * Arbitrary SQL of the kind that fools tools: writes hidden in expressions, CTEs and quotes, keywords used as names, every
 * clause in which FROM, a comma or a parenthesis means something else. Statements come as tokens, which `render` writes
 * down with comments, newlines and mixed case between and in them.
 */
import * as fc from "effect/FastCheck"

type Tokens = ReadonlyArray<string>
type Part = string | fc.Arbitrary<Tokens>

/** Words of a template (separated by blanks) and parts, in order. */
const seq = (...parts: ReadonlyArray<Part>): fc.Arbitrary<Tokens> =>
  fc
    .tuple(...parts.map((part) => (typeof part === "string" ? fc.constant(part.trim().split(/ +/)) : part)))
    .map((tokens) => tokens.flat().filter((token) => token !== ""))

/** Lets comments come between the words of a phrase. Where libpg-query looks two tokens ahead it would not see past them. */
const split = (tokens: Tokens): Tokens => tokens.flatMap((token) => token.split(" "))

const word = (...texts: ReadonlyArray<string>): fc.Arbitrary<Tokens> => fc.constantFrom(...texts).map((text) => [text])
const none = fc.constant<Tokens>([])
const maybe = (part: fc.Arbitrary<Tokens>): fc.Arbitrary<Tokens> => fc.oneof({ weight: 2, arbitrary: none }, part)
const list = (part: fc.Arbitrary<Tokens>, max = 2): fc.Arbitrary<Tokens> =>
  fc.array(part, { minLength: 1, maxLength: max }).map((parts) => parts.flatMap((p, i) => (i === 0 ? p : [",", ...p])))

/** Functions that do harm, as the grammar writes them. */
export const harmfulFunctions = ["nextval", "setval", "pg_advisory_lock", "pg_notify", "lo_unlink", "pg_switch_wal"]
/** Harmful even where they are only planned. */
export const harmfulWhenPlanned = ["txid_current", "pg_walfile_name"]

const harmfulName = fc
  .tuple(fc.constantFrom(...harmfulFunctions, ...harmfulWhenPlanned), fc.nat(5))
  .map(([name, form]): Tokens => {
    const escaped = `U&"\\${name.charCodeAt(0).toString(16).padStart(4, "0")}${name.slice(1)}"`
    const forms: ReadonlyArray<Tokens> = [
      [name],
      [`"${name}"`],
      [escaped],
      ["pg_catalog", ".", name],
      ['"pg_catalog"', ".", `"${name}"`],
      [`U&"!+${name.charCodeAt(0).toString(16).padStart(6, "0")}${name.slice(1)}"`, "uescape '!'"]
    ]
    return forms[form] ?? [name]
  })

const literal = word(
  "1",
  "1.5e3",
  "0x1F",
  "$1",
  "null",
  "true",
  "'x'",
  "'it''s'",
  "'\\'",
  "E'\\'; delete from t'",
  "e'a'\n'\\''",
  "U&'\\0061'",
  "$$a; b'$$",
  "$t$nextval('s')$t$",
  "$a$ $$ $b$ $a$",
  "B'01'",
  "X'1F'",
  "n'x'",
  "'/* '",
  "'-- '",
  "current_date",
  "current_timestamp"
)
const column = word(
  "a",
  "b",
  '"select"',
  '"a;b"',
  "update",
  "delete",
  "insert",
  "share",
  "name",
  "value",
  "é",
  "a$b$",
  '"""("'
)
const qualified = fc.tuple(column, column).map(([a, b]): Tokens => [...a, ".", ...b])
/** Labels may be any keyword behind AS. */
const label = word("x", "from", "into", "select", "update", "for", "nextval", '"y z"', "table", "where")
const alias = word("x", "y", "set", "first", "rows", '"Z"', "update", "delete", "sets", "value", "share", "nowait")
const table = fc.oneof(
  word("t", "u", '"T"', "set", "update", "rows", "first", "name", "share", "cte", "cte2", "é"),
  fc.tuple(word("s", '"S"', "public"), word("t", "u", "set", '"T"')).map(([a, b]): Tokens => [...a, ".", ...b])
)
const type = word("text", "int", "jsonb", '"char"')
const operator = word("+", "-", "*", "||", "=", "<", ">=", "<>", "@>", "->>", "!~~", "~*", "@-")

const grammar = fc.letrec<{ expression: Tokens; query: Tokens; item: Tokens; modifying: Tokens }>((tie) => {
  const e = tie("expression")
  const q = tie("query")
  const parenthesised = seq("(", q, ")")
  const expression = fc.oneof(
    { maxDepth: 4, depthIdentifier: "sql", withCrossShrink: true },
    { weight: 6, arbitrary: fc.oneof(literal, column, qualified) },
    { weight: 3, arbitrary: seq("(", e, ")", operator, "(", e, ")") },
    {
      weight: 2,
      arbitrary: seq(
        word("lower", "now", "random", "left", "abs", "coalesce", "greatest", "nullif"),
        "(",
        e,
        ",",
        e,
        ")"
      )
    },
    { weight: 1, arbitrary: seq(harmfulName, "(", e, ")") },
    seq("cast (", e, "as", type, ")"),
    seq("(", e, ") ::", type),
    seq("(", e, ") :: numeric ( 10 , 2 )"),
    seq("substring (", e, "from", e, "for", e, ")"),
    seq("extract ( year from", e, ")"),
    seq("trim ( both", e, "from", e, ")"),
    seq("overlay (", e, "placing", e, "from", e, "for", e, ")"),
    seq("position ( (", e, ") in (", e, ") )"),
    seq("(", e, ") is", word("distinct", "not distinct").map(split), "from (", e, ")"),
    seq("(", e, ") between (", e, ") and (", e, ")"),
    seq("(", e, ") like (", e, ") escape (", e, ")"),
    seq("(", e, ") at time zone (", e, ")"),
    seq("(", e, ') collate "C"'),
    seq("(", e, ") operator ( pg_catalog . + ) (", e, ")"),
    seq("case when", e, "then", e, "else", e, "end"),
    seq("array [", e, ",", e, "]"),
    seq("(", e, ") [", e, ": ", e, "]"),
    seq("( row (", e, ",", e, ") ) . x"),
    seq("count ( distinct", e, "order by", e, ") filter ( where", e, ")"),
    seq("percentile_cont (", e, ") within group ( order by", e, "using < )"),
    seq("row_number ( ) over ( partition by", e, "order by", e, "rows between", e, "preceding and current row )"),
    seq("xmlelement ( name foo , xmlattributes (", e, "as x ) ,", e, ")"),
    seq("json_object (", literal, ":", e, "absent on null )"),
    seq("json_value (", e, ", '$.a' passing", e, "as x returning int default", e, "on empty )"),
    seq("interval '1' day to second ( 3 )"),
    seq("grouping (", e, ")"),
    seq("array", parenthesised),
    seq("exists", parenthesised),
    seq("(", e, ") in", parenthesised),
    seq("(", e, ") = any", parenthesised),
    seq("(", e, ")", word("not in", "in"), "(", e, ",", e, ")"),
    parenthesised
  )
  const join = fc.oneof(
    seq(word("join", "left join", "full outer join").map(split), tie("item"), "on", e),
    seq(word("cross join", "natural join", "natural left join").map(split), tie("item")),
    seq("join", tie("item"), "using ( a , b )", maybe(seq("as", word("j"))))
  )
  const aliased = fc.oneof(none, seq(alias), seq("as", alias), seq(alias, "( a , b )"), seq("as", alias, "( a )"))
  const source = fc.oneof(
    { maxDepth: 4, depthIdentifier: "sql", withCrossShrink: true },
    { weight: 5, arbitrary: seq(table, aliased) },
    seq("only", table, maybe(seq(alias))),
    seq(table, "*", maybe(seq(alias))),
    seq(table, "tablesample bernoulli (", e, ") repeatable (", e, ")"),
    seq(maybe(word("lateral")), parenthesised, aliased),
    seq("lateral generate_series (", e, ",", e, ")", word("with ordinality"), "as", alias, "( a , b )"),
    seq("generate_series (", e, ",", e, ")", aliased),
    seq(harmfulName, "(", e, ")", aliased),
    seq(
      "rows from ( generate_series ( 1 ,",
      e,
      ") , json_to_record (",
      e,
      ") as ( a int , b numeric ( 10 , 2 ) ) )",
      maybe(seq(alias))
    ),
    seq("xmltable ( '/a' passing", e, "columns a int path 'x' default", e, ", b text )", aliased),
    seq("json_table (", e, ", '$' columns ( a int path '$' , nested path '$' columns ( b text ) ) )", aliased),
    seq("current_date", maybe(seq(alias))),
    seq("( values (", e, ",", e, ") )", aliased),
    seq("(", tie("item"), join, ")", maybe(seq(alias)))
  )
  const item = seq(
    source,
    fc.array(join, { maxLength: 1 }).map((joins) => joins.flat())
  )
  const target = fc.oneof(
    seq(e),
    seq(e, "as", label),
    seq("*"),
    seq("(", e, ")", word("x", "y", "select", "end", "update"))
  )
  const grouping = fc.oneof(
    seq(list(e)),
    seq("grouping sets ( (", e, ",", e, ") , ( ) )"),
    seq("cube (", e, ",", e, ") , rollup (", e, ")"),
    seq("distinct", list(e))
  )
  const tail = seq(
    maybe(seq("order by", e, word("asc", "desc", "using <", "nulls first"))),
    fc.oneof(
      { weight: 3, arbitrary: none },
      seq("limit", e),
      seq("offset (", e, ") rows"),
      seq("fetch first (", e, ") rows only")
    )
  )
  const locking = fc.oneof(
    { weight: 12, arbitrary: none },
    seq(
      "for",
      word("update", "no key update", "share", "key share").map(split),
      word("nowait", "skip locked").map(split)
    ),
    seq("for read only")
  )
  const select = seq(
    "select",
    fc.oneof({ weight: 3, arbitrary: none }, word("all"), word("distinct"), seq("distinct on (", e, ")")),
    list(target),
    fc.oneof({ weight: 14, arbitrary: none }, seq("into", maybe(word("temp", "table")), word("made"))),
    fc.oneof({ weight: 1, arbitrary: none }, { weight: 4, arbitrary: seq("from", list(tie("item"), 3)) }),
    maybe(seq("where", e)),
    maybe(seq("group by", grouping)),
    maybe(seq("having", e)),
    maybe(seq("window w as ( order by", e, ")"))
  )
  const simple = fc.oneof(
    { maxDepth: 4, depthIdentifier: "sql", withCrossShrink: true },
    { weight: 6, arbitrary: select },
    seq("values (", e, ",", e, ")"),
    seq("table", table),
    seq("(", q, ")", word("union", "union all", "except", "intersect").map(split), "(", q, ")"),
    seq(select, word("union", "except all").map(split), "table", table)
  )
  const cte = seq(
    word("cte", "cte2", '"T"', "set", "recursive"),
    maybe(seq("( a , b )")),
    "as",
    fc.oneof({ weight: 2, arbitrary: none }, word("materialized"), word("not materialized").map(split)),
    "(",
    fc.oneof({ weight: 6, arbitrary: q }, { weight: 1, arbitrary: tie("modifying") }),
    ")",
    fc.oneof({ weight: 5, arbitrary: none }, seq("search depth first by a , b set o"), seq("cycle a , b set c using p"))
  )
  const withClause = fc.oneof({ weight: 3, arbitrary: none }, seq("with", maybe(word("recursive")), list(cte)))
  const query = fc.oneof(
    { maxDepth: 4, depthIdentifier: "sql", withCrossShrink: true },
    { weight: 9, arbitrary: seq(withClause, simple, tail, locking) },
    seq("(", q, ")")
  )
  const returning = maybe(seq("returning", list(target)))
  const modifying = seq(
    withClause,
    fc.oneof(
      { maxDepth: 4, depthIdentifier: "sql", withCrossShrink: true },
      seq(
        "insert into",
        table,
        maybe(seq("( a , b )")),
        simple,
        maybe(seq("on conflict ( a ) do update set a =", e)),
        returning
      ),
      seq(
        "update",
        maybe(word("only")),
        table,
        maybe(seq("as", alias)),
        "set a =",
        e,
        maybe(seq("from", list(tie("item")))),
        "where",
        e,
        returning
      ),
      seq("delete from", table, maybe(seq("using", list(tie("item")))), "where", e, returning),
      seq(
        "merge into",
        table,
        "using",
        tie("item"),
        "on",
        e,
        "when matched and",
        e,
        "then update set a =",
        e,
        "when not matched then do nothing"
      )
    )
  )
  return { expression, query, item, modifying }
})

const { modifying, query } = grammar
const option = word(
  "analyze",
  "analyze on",
  "analyze off",
  "analyze false",
  '"analyze"',
  "verbose",
  "costs off",
  "format json"
).map(split)
const explained = seq(
  "explain",
  fc.oneof(none, word("analyze"), word("verbose"), word("analyze verbose").map(split), seq("(", list(option, 3), ")")),
  fc.oneof({ weight: 3, arbitrary: query }, modifying)
)
const single = fc.oneof(
  { weight: 10, arbitrary: query },
  { weight: 2, arbitrary: modifying },
  { weight: 2, arbitrary: explained },
  seq("copy (", query, ") to stdout"),
  seq("copy", table, "( a , b ) to stdout with ( format csv , force_quote ( a ) )"),
  seq("copy", table, word("from stdin", "to program 'x'", "to 'file'").map(split)),
  seq("show", word("all", "search_path"))
)
const tokens = fc.oneof(
  { weight: 6, arbitrary: single },
  { weight: 1, arbitrary: seq(single, ";", single) },
  { weight: 1, arbitrary: seq(";", single, "; ;", single, ";") }
)

const separators = [" ", "\n", "\t\r\n", " /* ; delete from t */ ", " --' (\n", ' /*/* " */$$*/ ', " /**/"]
const isTight = (text: string | undefined): boolean => text !== undefined && /^[(),;[\]]$/.test(text)

/** Writes tokens down; the seed chooses layout and case. */
const render = (parts: Tokens, seed: number): string => {
  let state = seed >>> 0
  const random = (bound: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * bound)
  }
  let sql = ""
  parts.forEach((part, index) => {
    if (index > 0) {
      const tight = isTight(part) || isTight(parts[index - 1])
      sql += tight && random(2) === 0 ? "" : random(3) > 0 ? " " : (separators[random(separators.length)] ?? " ")
    }
    sql += /^[a-z_]+$/.test(part) && random(4) === 0 ? (random(2) === 0 ? part.toUpperCase() : capitalised(part)) : part
  })
  return sql
}

const capitalised = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1)

/** One to three statements of PostgreSQL; most of them are grammatical. */
export const sql: fc.Arbitrary<string> = fc.tuple(tokens, fc.nat()).map(([parts, seed]) => render(parts, seed))

const routineStatement = fc.oneof(
  seq("select case when a then", word("1", "'end;'"), "end"),
  seq("select a", word("end", "case")),
  seq("select 1 as end , t . end from t"),
  seq("insert into t values ( 1 )"),
  seq("return 1"),
  none
)
const definition = fc.oneof(
  seq(
    "create",
    maybe(word("or replace").map(split)),
    fc.oneof(seq("function", table, "( begin int ) returns int"), seq("procedure", table, "( )")),
    "language sql begin atomic",
    fc.array(seq(routineStatement, ";"), { maxLength: 3 }).map((parts) => parts.flat()),
    "end"
  ),
  seq("create function f ( ) returns int language sql return case when true then 1 end"),
  seq("create rule r as on insert to t do also ( insert into u values ( 1 ) ; delete from u ;", maybe(word(";")), ")"),
  seq(
    "create function f ( ) returns int language plpgsql as",
    word("$$ begin; end; $$", "'begin; end;'", "$f$ $$;$$ $f$")
  ),
  seq("do", word("$$ begin; end $$", "$_$ ;; $_$")),
  seq(word("begin", "commit", "start transaction", "end")),
  seq("create table t ( a int default 1 , check ( a > 0 ) )")
)
const script = fc.array(
  fc.oneof({ weight: 2, arbitrary: definition }, { weight: 1, arbitrary: single }, { weight: 1, arbitrary: none }),
  { minLength: 1, maxLength: 5 }
)

/** A script of migrations: routines with semicolons in their bodies, rules, blocks, queries, empty statements. */
export const scripts: fc.Arbitrary<string> = fc
  .tuple(script, fc.boolean(), fc.nat())
  .map(([parts, closed, seed]) =>
    render(
      parts.flatMap((tokens, index) => (index === 0 ? tokens : [";", ...tokens])).concat(closed ? [";"] : []),
      seed
    )
  )

const fragments =
  "' '' \\ E' e'\\'' $a$ $$ $b$ $ /* */ -- \" \"\" U&' U&\" u&' x' B' n' N'a' 1 1. .. .5 e5 e+ 0x1F 0o7 0b1 _1 a $1 a$b$ : :: := => + - @ * / < % ~ ! = ? # & | ^ ` é ( ) [ ] , ; . { \\' é' select from"
    .split(" ")
    .concat([" ", " ", "\n", "\r\n", "\t", " --x\n", "\n'", "' \n '", "'--\n--\n'"])

/** Fragments of tokens in any order: most of it is no SQL, and all of it is text. */
export const soup: fc.Arbitrary<string> = fc
  .array(fc.constantFrom(...fragments), { minLength: 1, maxLength: 12 })
  .map((parts) => parts.join(""))

const words =
  "from where group order limit for update of into as join on using set with recursive table values select insert delete " +
  "merge distinct only lateral rows window within filter over union all returning when case end is not in and or like"

/** Grammatical SQL with one to three of its tokens dropped, doubled, replaced or mixed with others. */
export const mutatedSql: fc.Arbitrary<string> = fc
  .tuple(
    single,
    fc.array(fc.tuple(fc.nat(), fc.nat(2), fc.constantFrom(...words.split(" "), ...fragments)), {
      minLength: 1,
      maxLength: 3
    }),
    fc.nat()
  )
  .map(([parts, mutations, seed]) => {
    const tokens = [...parts]
    for (const [position, kind, text] of mutations) {
      const at = position % (tokens.length + 1)
      if (kind === 0) tokens.splice(at, 1)
      else if (kind === 1) tokens.splice(at, 0, text)
      else tokens.splice(at, 1, text)
    }
    return render(tokens, seed)
  })
