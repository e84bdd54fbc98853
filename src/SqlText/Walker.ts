/**
 * Walks the tokens of a text and reports what its statements are and what its queries touch: statements at any depth,
 * relations with CTE names resolved, calls, locking clauses.
 */
import { CommandScope } from "./CommandScope.ts"
import { keyword, role, roleOf } from "./keywords.ts"
import { Query } from "./Query.ts"
import { TokenReader } from "./TokenReader.ts"
import type { Visitor } from "./Visitor.ts"

/** Reports everything in `sql` to `visitor`. Never throws, never recurses. */
export const walk = (sql: string, visitor: Visitor): void => {
  const read = new TokenReader(sql, visitor)
  while (read.goesOn) {
    if (read.is(59 /* ; */)) read.index++
    else statement(read)
  }
}

/** From the first token of a statement to its semicolon. */
const statement = (read: TokenReader): void => {
  const { visitor } = read
  visitor.statement()
  if (read.takeWord("explain")) visitor.explain(runsAndExplains(read))
  const first = read.tokens[read.index]
  if (first === undefined) return
  if (read.is(40 /* ( */)) return new Query(read).run(false)
  if (first.kind !== "word") return read.fail("not a statement")
  const word = read.word(first)
  const part = roleOf(keyword(word))
  if (part >= role.select && part <= role.merge) return new Query(read).run(false)
  if (word === "copy") return copy(read)
  visitor.command(word, read.tokens, read.index)
  skipCommand(read, word === "create")
}

/** Any other statement is skipped, with the semicolons in a routine's body. */
const skipCommand = (read: TokenReader, create: boolean): void => {
  const scope = create ? new CommandScope(read.sql, read.tokens[read.index]?.start ?? 0) : undefined
  for (; !read.isAtEnd; read.index++) {
    if (read.is(59) && (scope === undefined || scope.isOver)) return
    const token = read.tokens[read.index]
    if (token !== undefined) scope?.take(token)
  }
}

/** Behind EXPLAIN: `[ANALYZE] [VERBOSE]` or `(option [value], ..)`. */
const runsAndExplains = (read: TokenReader): boolean => {
  let analyze = false
  if (!read.is(40) || opensQuery(read, read.index + 1)) {
    for (; ; read.index++) {
      if (read.isWord("analyze") || read.isWord("analyse")) analyze = true
      else if (!read.isWord("verbose")) return analyze
    }
  }
  const isSeparator = (): boolean => read.is(44 /* , */) || read.is(41 /* ) */)
  do {
    read.index++
    const isAnalyze = read.isName() && /^analy[sz]e$/.test(read.takeName())
    if (isAnalyze && (isSeparator() || !isOff(read))) analyze = true
    while (!read.isAtEnd && !isSeparator()) read.index++
  } while (read.is(44))
  read.index++
  return analyze
}

const isOff = (read: TokenReader): boolean => {
  const token = read.tokens[read.index]
  return token !== undefined && /^(?:off|false|0|'off'|'false')$/i.test(read.sql.slice(token.start, token.end))
}

/** Whether a query, and no option, follows an opening parenthesis. */
const opensQuery = (read: TokenReader, index: number): boolean =>
  read.is(40, index) ||
  read.isWord("select", index) ||
  read.isWord("with", index) ||
  read.isWord("table", index) ||
  (read.isWord("values", index) && read.is(40, index + 1))

/** `COPY relation [(columns)] | (query)  FROM | TO  target [options]`. */
const copy = (read: TokenReader): void => {
  const { visitor } = read
  visitor.copy()
  read.index++
  read.takeWord("binary")
  if (read.is(40)) new Query(read).run(true)
  else if (read.isName()) {
    read.path()
    const { name, schema } = read
    read.skipList()
    visitor.relation(schema, name, read.isWord("from") ? "target" : "source")
  }
  if (visitor.done) return
  const next = read.index + 1
  if (read.isWord("from")) visitor.copyTarget("database")
  else if (!read.isWord("to")) return read.fail("COPY without FROM or TO")
  else visitor.copyTarget(read.isWord("stdout", next) || read.isWord("stdin", next) ? "client" : "server")
  skipCommand(read, false)
}
