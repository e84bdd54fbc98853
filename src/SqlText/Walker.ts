/**
 * Walks the tokens of a text and reports what its queries touch: statements at any depth, relations in FROM clauses with
 * CTE names resolved, calls, locking clauses. It is a pushdown automaton over parentheses and not a parser: it knows exactly
 * as much grammar as it takes to tell a relation from a column and a call from an alias, and says `malformed` otherwise.
 */
import { classOf, keyword, role, roleOf, wordClass } from "./keywords.ts"
import { hasUnicodeEscapes, isWord, nameOf } from "./names.ts"
import { CommandScope } from "./CommandScope.ts"
import { Tokenizer } from "./Tokenizer.ts"
import type { Token } from "./Tokenizer.ts"
import type { CallCertainty, QueryVerb, Visitor } from "./Visitor.ts"

/** Where in a statement the next token stands. */
const at = {
  /** Where a query could begin. */
  start: 0,
  expression: 1,
  /** An item of a FROM clause is due. */
  item: 2,
  /** The same behind a parenthesis: the item may turn out to be a query. */
  itemOrQuery: 3,
  /** Behind an item: alias, JOIN, comma .. */
  tail: 4,
  /** In the condition of a JOIN: an expression that a comma or JOIN ends. */
  condition: 5,
  /** Behind WITH or the comma between CTEs. */
  cteName: 6,
  /** Between the name and the body of a CTE. */
  cteHead: 7,
  /** Behind the body of a CTE. */
  cteTail: 8,
  /** Behind the target of an INSERT, where a query may begin. */
  insertTail: 9
} as const

/** One level of parentheses or brackets. */
class Frame {
  state: number
  /** The statement that is open at this level. */
  verb: QueryVerb | undefined
  /** FROM begins a FROM clause here. */
  takesFrom = false
  readonly bracket: boolean
  /** FROM and FOR are parts of a call's syntax here. */
  readonly syntax: boolean
  /** How many CTE names were in scope when it was opened. */
  readonly ctes: number
  recursive = false
  cte: string | undefined

  constructor(state: number, ctes: number, bracket: boolean, syntax: boolean) {
    this.state = state
    this.ctes = ctes
    this.bracket = bracket
    this.syntax = syntax
  }
}

/** Reports everything in `sql` to `visitor`. Never throws, never recurses. */
export const walk = (sql: string, visitor: Visitor): void => new Walker(sql, visitor).run()

class Walker {
  readonly #sql: string
  readonly #visitor: Visitor
  readonly #tokens: Array<Token> = []
  #index = 0
  #frame = new Frame(at.start, 0, false, false)
  readonly #outer: Array<Frame> = []
  readonly #ctes: Array<string> = []
  #failed = false
  /** The path that `#path` read last. */
  #schema: string | undefined
  #name = ""
  /** The name of the word at hand, made once: as a keyword it is looked up first. */
  #wordName = ""
  #wordIndex = -1

  constructor(sql: string, visitor: Visitor) {
    this.#sql = sql
    this.#visitor = visitor
  }

  run(): void {
    const tokenizer = new Tokenizer(this.#sql)
    for (let token = tokenizer.next(); token !== undefined; token = tokenizer.next()) {
      if (token.kind !== "comment") this.#tokens.push(token)
    }
    while (this.#index < this.#tokens.length && this.#goesOn) {
      if (this.#is(59 /* ; */)) this.#index++
      else this.#statement()
    }
  }

  get #goesOn(): boolean {
    return !this.#failed && !this.#visitor.done
  }

  #fail(why: string): void {
    if (this.#failed) return
    this.#failed = true
    this.#visitor.malformed(why)
  }

  #is(code: number, index = this.#index): boolean {
    const token = this.#tokens[index]
    return (
      token !== undefined &&
      token.kind === "punctuation" &&
      token.end - token.start === 1 &&
      this.#sql.charCodeAt(token.start) === code
    )
  }

  #isWord(text: string, index = this.#index): boolean {
    return isWord(this.#sql, this.#tokens[index], text)
  }

  #isName(index: number): boolean {
    const kind = this.#tokens[index]?.kind
    return kind === "word" || kind === "quoted"
  }

  // --- statements ---------------------------------------------------------------------------------------------------

  /** From the first token of a statement to behind its semicolon. */
  #statement(): void {
    this.#outer.length = 0
    this.#ctes.length = 0
    this.#frame = new Frame(at.start, 0, false, false)
    this.#visitor.statement()
    if (this.#isWord("explain")) this.#explain()
    const first = this.#tokens[this.#index]
    if (first === undefined) return
    if (this.#is(40 /* ( */)) return this.#body()
    if (first.kind !== "word") return this.#fail("not a statement")
    const word = nameOf(this.#sql, first)
    const part = roleOf(keyword(word))
    if (part >= role.select && part <= role.merge) return this.#body()
    if (word === "copy") return this.#copy()
    this.#visitor.command(word, this.#tokens, this.#index)
    this.#skipCommand(word === "create")
  }

  /** Any other statement is skipped, with the semicolons in a routine's body. */
  #skipCommand(create: boolean): void {
    const scope = create ? new CommandScope(this.#sql, this.#tokens[this.#index]?.start ?? 0) : undefined
    for (; this.#index < this.#tokens.length; this.#index++) {
      if (this.#is(59) && (scope === undefined || scope.isOver)) return
      const token = this.#tokens[this.#index]
      if (token !== undefined) scope?.take(token)
    }
  }

  /** `EXPLAIN [ANALYZE] [VERBOSE]` or `EXPLAIN (option [value], ..)`. */
  #explain(): void {
    this.#index++
    let analyze = false
    if (this.#is(40) && !this.#opensQuery(this.#index + 1)) {
      this.#index++
      while (this.#index < this.#tokens.length && !this.#is(41 /* ) */)) {
        const isAnalyze = this.#isName(this.#index) && /^analy[sz]e$/.test(this.#nameAt(this.#index))
        this.#index++
        const valued = !this.#is(44 /* , */) && !this.#is(41)
        if (isAnalyze && !(valued && this.#isOff(this.#index))) analyze = true
        while (this.#index < this.#tokens.length && !this.#is(41) && !this.#is(44)) this.#index++
        if (this.#is(44)) this.#index++
      }
      this.#index++
    } else {
      for (; ; this.#index++) {
        if (this.#isWord("analyze") || this.#isWord("analyse")) analyze = true
        else if (!this.#isWord("verbose")) break
      }
    }
    this.#visitor.explain(analyze)
  }

  #isOff(index: number): boolean {
    const token = this.#tokens[index]
    return token !== undefined && /^(?:off|false|0|'off'|'false')$/i.test(this.#sql.slice(token.start, token.end))
  }

  /** Whether a query (and no option, column or item) follows an opening parenthesis. */
  #opensQuery(index: number): boolean {
    return (
      this.#is(40, index) ||
      this.#isWord("select", index) ||
      this.#isWord("with", index) ||
      this.#isWord("table", index) ||
      (this.#isWord("values", index) && this.#is(40, index + 1))
    )
  }

  /** `COPY relation [(columns)] | (query)  FROM | TO  target [options]`. */
  #copy(): void {
    this.#visitor.copy()
    this.#index++
    if (this.#isWord("binary")) this.#index++
    if (this.#is(40)) {
      this.#body(true)
    } else if (this.#isName(this.#index)) {
      this.#path()
      this.#visitor.relation(this.#schema, this.#name, this.#copiesFrom() ? "target" : "source")
      if (this.#is(40)) while (this.#index < this.#tokens.length && !this.#is(41)) this.#index++
      if (this.#is(41)) this.#index++
    }
    if (!this.#goesOn) return
    const toClient = this.#isWord("stdout", this.#index + 1) || this.#isWord("stdin", this.#index + 1)
    if (this.#isWord("from")) this.#visitor.copyTarget("database")
    else if (this.#isWord("to")) this.#visitor.copyTarget(toClient ? "client" : "server")
    else return this.#fail("COPY without FROM or TO")
    this.#skipCommand(false)
  }

  /** Looks past a list of columns for FROM. */
  #copiesFrom(): boolean {
    let index = this.#index
    if (this.#is(40, index)) while (index < this.#tokens.length && !this.#is(41, index)) index++
    return this.#isWord("from", index) || this.#isWord("from", index + 1)
  }

  // --- queries ------------------------------------------------------------------------------------------------------

  /** A query up to its semicolon, or (`group`) up to the parenthesis that closes the first one. */
  #body(group = false): void {
    const begin = this.#index
    while (this.#index < this.#tokens.length && this.#goesOn) {
      if (group && this.#outer.length === 0 && this.#index > begin) return
      const token = this.#tokens[this.#index]
      if (token === undefined) return
      switch (token.kind) {
        case "word":
          this.#word(token)
          break
        case "quoted":
          this.#nameToken(false, wordClass.any)
          break
        case "punctuation":
          if (this.#is(59)) {
            if (this.#outer.length > 0) this.#fail("a semicolon in parentheses")
            else if (this.#isDue()) this.#fail("a statement that breaks off")
            return
          }
          this.#punctuation(token)
          break
        case "operator":
          if (this.#visitor.wantsOperators) this.#visitor.operator(this.#sql.slice(token.start, token.end))
          this.#operand()
          break
        case "string":
          this.#visitor.string(token)
          this.#operand()
          break
        case "invalid":
          return this.#fail("a character that is not SQL, or a literal or comment without end")
        default:
          this.#operand()
      }
    }
    if (!this.#goesOn) return
    if (this.#outer.length > 0) this.#fail("a parenthesis left open")
    else if (this.#isDue()) this.#fail("a statement that breaks off")
  }

  #isDue(): boolean {
    const { state } = this.#frame
    return state === at.item || state === at.itemOrQuery || state === at.cteName || state === at.cteHead
  }

  /** A token that can only be part of an expression (or the `*` of `table *`). */
  #operand(): void {
    this.#index++
    if (this.#isDue()) return this.#fail("a name was expected")
    if (this.#frame.state === at.start) this.#frame.state = at.expression
  }

  #punctuation(token: Token): void {
    const frame = this.#frame
    this.#index++
    if (token.end - token.start === 2) {
      // Behind `::` stands a type, whose parentheses are no call.
      if (this.#sql.charCodeAt(token.start + 1) === 58) this.#type()
      return
    }
    switch (this.#sql.charCodeAt(token.start)) {
      case 40 /* ( */:
        return this.#open(false, false)
      case 91 /* [ */:
        return this.#open(true, false)
      case 41 /* ) */:
        return this.#close(false)
      case 93 /* ] */:
        return this.#close(true)
      case 44 /* , */:
        if (frame.state === at.tail || frame.state === at.condition) frame.state = at.item
        else if (frame.state === at.cteTail) frame.state = at.cteName
        else if (this.#isDue()) this.#fail("a name was expected")
        return
      case 46 /* . */:
        // `(row).column`, `$1.column`: paths of plain names never come here.
        if (this.#isName(this.#index)) {
          this.#visitor.attribute(this.#nameAt(this.#index))
          this.#advance()
        }
        return
    }
  }

  #open(bracket: boolean, syntax: boolean): void {
    const { state } = this.#frame
    let inner: number = at.start
    if (state === at.item || state === at.itemOrQuery) inner = at.itemOrQuery
    else if (state === at.cteName) return this.#fail("a name was expected")
    else if (syntax) inner = at.expression
    this.#outer.push(this.#frame)
    this.#frame = new Frame(inner, this.#ctes.length, bracket, syntax)
  }

  #close(bracket: boolean): void {
    const inner = this.#frame
    const frame = this.#outer.pop()
    if (frame === undefined || inner.bracket !== bracket) return this.#fail("a parenthesis that was not opened")
    if (this.#isDue()) return this.#fail("a name was expected")
    this.#ctes.length = inner.ctes
    this.#frame = frame
    if (frame.state === at.item || frame.state === at.itemOrQuery) frame.state = at.tail
    else if (frame.state === at.cteHead && frame.cte !== undefined) {
      if (!frame.recursive) this.#ctes.push(frame.cte)
      frame.cte = undefined
      frame.state = at.cteTail
    } else if (frame.state === at.start) frame.state = at.expression
  }

  // --- words --------------------------------------------------------------------------------------------------------

  #word(token: Token): void {
    const name = nameOf(this.#sql, token)
    this.#wordName = name
    this.#wordIndex = this.#index
    const entry = keyword(name)
    const frame = this.#frame
    const { state } = frame
    if (state === at.cteName || state === at.cteHead || state === at.cteTail) {
      if (this.#cte()) return
    }
    if (frame.state === at.start || frame.state === at.insertTail) {
      if (this.#begins(roleOf(entry))) return
      if (frame.state === at.start) frame.state = at.expression
    } else if (state === at.itemOrQuery) {
      const part = roleOf(entry)
      if (
        part === role.select ||
        part === role.with ||
        part === role.table ||
        (part === role.values && this.#is(40, this.#index + 1))
      ) {
        this.#begins(part)
        return
      }
      frame.state = at.item
    }
    if (entry !== 0 && this.#keyword(roleOf(entry))) return
    this.#nameToken(true, entry)
  }

  /** Where a query could begin: takes the verb, or says that an expression begins instead. */
  #begins(part: number): boolean {
    const frame = this.#frame
    const next = this.#index + 1
    switch (part) {
      case role.select:
        this.#verb("select")
        frame.takesFrom = true
        frame.state = at.expression
        return true
      case role.values:
        if (!this.#is(40, next)) return false
        this.#verb("values")
        frame.state = at.expression
        return true
      case role.table:
        this.#verb("table")
        frame.state = at.item
        return true
      case role.with:
        frame.recursive = this.#isWord("recursive", next) && !this.#isWord("as", next + 1) && !this.#is(40, next + 1)
        this.#index += frame.recursive ? 2 : 1
        frame.state = at.cteName
        return true
      case role.insert:
      case role.merge:
        if (this.#outer.length > 0 && !this.#isWord("into", next)) return false
        this.#verb(part === role.insert ? "insert" : "merge")
        if (this.#isWord("into")) this.#index++
        this.#target()
        return true
      case role.delete:
        if (this.#outer.length > 0 && !this.#isWord("from", next)) return false
        this.#verb("delete")
        if (this.#isWord("from")) this.#index++
        this.#target()
        return true
      case role.update:
        if (this.#outer.length > 0 && !this.#canNameTable(next)) return false
        this.#verb("update")
        this.#target()
        return true
      default:
        // ALL and DISTINCT between the two sides of UNION.
        return false
    }
  }

  #verb(verb: QueryVerb): void {
    this.#frame.verb = verb
    this.#visitor.query(verb, this.#outer.length > 0 || this.#ctes.length > 0)
    this.#index++
  }

  /** Whether a table's name can stand here; `(update IS NULL)` speaks of a column. */
  #canNameTable(index: number): boolean {
    const token = this.#tokens[index]
    if (token?.kind === "quoted") return true
    if (token?.kind !== "word") return false
    const entry = keyword(nameOf(this.#sql, token))
    return classOf(entry) < wordClass.function || this.#isWord("only", index)
  }

  /** The table that a statement changes, and what may come behind it. */
  #target(): void {
    const parenthesis = this.#isWord("only") && this.#is(40, this.#index + 1)
    if (this.#isWord("only")) this.#index += parenthesis ? 2 : 1
    if (!this.#isName(this.#index)) return this.#fail("a table was expected")
    this.#path()
    this.#visitor.relation(this.#schema, this.#name, "target")
    if (parenthesis && this.#is(41)) this.#index++
    this.#frame.state = this.#frame.verb === "insert" ? at.insertTail : at.tail
  }

  /** A word in or behind a WITH clause; false where the statement itself begins. */
  #cte(): boolean {
    const frame = this.#frame
    if (frame.state === at.cteName) {
      frame.cte = this.#nameAt(this.#index)
      this.#advance()
      if (frame.recursive) this.#ctes.push(frame.cte)
      if (this.#is(40)) while (this.#index < this.#tokens.length && !this.#is(41)) this.#index++
      if (this.#is(41)) this.#index++
      if (!this.#isWord("as")) this.#fail("AS was expected")
      this.#index++
      if (this.#isWord("not")) this.#index++
      if (this.#isWord("materialized")) this.#index++
      if (!this.#is(40)) this.#fail("a query in parentheses was expected")
      frame.state = at.cteHead
      return true
    }
    if (frame.state === at.cteTail && (this.#isWord("search") || this.#isWord("cycle"))) {
      // SEARCH .. SET column, CYCLE .. USING column.
      const last = this.#isWord("search") ? "set" : "using"
      while (this.#index < this.#tokens.length && !this.#isWord(last) && !this.#is(59)) this.#index++
      this.#index++
      if (this.#isName(this.#index)) this.#advance()
      return true
    }
    if (frame.state !== at.cteTail) this.#fail("a query in parentheses was expected")
    frame.state = at.start
    return false
  }

  /** A word in its part as a keyword; false where it is a name after all. */
  #keyword(part: number): boolean {
    const frame = this.#frame
    const { state } = frame
    const inFrom = state === at.tail || state === at.condition
    const next = this.#index + 1
    switch (part) {
      case role.from:
        this.#index++
        if (frame.takesFrom) frame.state = at.item
        return true
      case role.join:
        if (!inFrom) return false
        this.#index++
        frame.state = at.item
        return true
      case role.on:
        this.#index++
        if (inFrom) frame.state = at.condition
        else if (state === at.insertTail) frame.state = at.expression
        return true
      case role.using:
        this.#index++
        // `DELETE FROM a USING b`, `MERGE INTO a USING b`; otherwise it takes the columns of a join in parentheses.
        if (inFrom && !frame.takesFrom && (frame.verb === "delete" || frame.verb === "merge")) {
          frame.takesFrom = true
          frame.state = at.item
        }
        return true
      case role.clause:
        this.#index++
        if (inFrom) frame.state = at.expression
        return true
      case role.when:
        // Behind the condition of a MERGE; everywhere else it belongs to a CASE.
        this.#index++
        if (frame.verb === "merge") frame.state = at.expression
        return true
      case role.within:
        if (!this.#isWord("group", next)) return false
        this.#index += 2
        return true
      case role.set:
        // Once: behind it the word is an alias like any other.
        if (!inFrom || frame.verb !== "update" || frame.takesFrom) return false
        this.#index++
        frame.takesFrom = true
        frame.state = at.expression
        return true
      case role.setOperation:
        this.#index++
        if (this.#isWord("all") || this.#isWord("distinct")) this.#index++
        frame.state = at.start
        frame.takesFrom = false
        return true
      case role.for:
        this.#index++
        if (inFrom) frame.state = at.expression
        if (frame.syntax) return true
        if (this.#isWord("update") || this.#isWord("no")) this.#visitor.clause("FOR UPDATE")
        else if (this.#isWord("share") || this.#isWord("key")) this.#visitor.clause("FOR SHARE")
        return true
      case role.into:
        this.#index++
        this.#visitor.clause("INTO")
        return true
      case role.as:
        this.#index++
        this.#type()
        return true
      case role.distinct:
        // `IS DISTINCT FROM`: SELECT DISTINCT has something to select before its FROM.
        this.#index += this.#isWord("from", next) ? 2 : 1
        return true
      case role.modifier:
        this.#index++
        return true
      case role.rows:
        if (state !== at.item || !this.#isWord("from", next)) return false
        this.#index += 2
        return true
      case role.tablesample:
        if (!inFrom) return false
        this.#index++
        if (this.#isName(this.#index)) this.#path()
        return true
      case role.with:
        // WITH ORDINALITY, WITH TIES, WITH TIME ZONE ..
        this.#index++
        if (this.#isWord("ordinality")) this.#index++
        return true
      case role.value:
        if (state !== at.item) return false
        this.#index++
        frame.state = at.tail
        return true
      case role.select:
      case role.table:
        // Only a label can stand here: `SELECT 1 select`.
        this.#index = next
        return true
      default:
        return false
    }
  }

  /** A name, or a keyword that is used as one. */
  #nameToken(unquoted: boolean, entry: number): void {
    const frame = this.#frame
    switch (frame.state) {
      case at.cteName:
        this.#cte()
        return
      case at.cteHead:
        return this.#fail("a query in parentheses was expected")
      case at.cteTail:
        return this.#fail("a statement was expected")
      case at.item:
      case at.itemOrQuery:
        return this.#item(unquoted, entry)
      case at.tail:
        // An alias, unless it belongs to JOIN; a list of columns may follow it.
        this.#path()
        if (this.#is(40) && classOf(entry) !== wordClass.reserved)
          this.#visitor.call(undefined, this.#name, "construct")
        return
      case at.start:
        frame.state = at.expression
    }
    this.#path()
    if (this.#is(40)) this.#call(unquoted, entry)
  }

  #item(unquoted: boolean, entry: number): void {
    const frame = this.#frame
    this.#path()
    if (this.#is(40)) {
      frame.state = at.tail
      this.#call(unquoted, entry)
    } else if (unquoted && this.#schema === undefined && classOf(entry) >= wordClass.function) {
      this.#fail("a relation was expected")
    } else {
      frame.state = at.tail
      if (this.#schema !== undefined || !this.#ctes.includes(this.#name)) {
        this.#visitor.relation(this.#schema, this.#name, "source")
      }
    }
  }

  /** A path before a parenthesis, which it opens. */
  #call(unquoted: boolean, entry: number): void {
    const single = unquoted && this.#schema === undefined
    if (!single || classOf(entry) !== wordClass.reserved) {
      const part = roleOf(entry)
      const certain = !single || (classOf(entry) === wordClass.any && part !== role.construct && part !== role.rows)
      const certainty: CallCertainty = certain ? "call" : "construct"
      this.#visitor.call(this.#schema, this.#name, certainty)
    }
    this.#index++
    this.#open(false, single && roleOf(entry) === role.callWithFrom)
  }

  /** What follows AS or `::`: a label, an alias or a type, and never a keyword. */
  #type(): void {
    if (!this.#isName(this.#index)) return
    this.#path()
    if (this.#is(40)) this.#visitor.call(this.#schema, this.#name, "construct")
  }

  /** Reads `a`, `a.b`, `a.b.c`: the last name and the one before it. */
  #path(): void {
    this.#schema = undefined
    this.#name = this.#nameAt(this.#index)
    this.#advance()
    while (this.#is(46) && this.#isName(this.#index + 1)) {
      this.#index++
      this.#schema = this.#name
      this.#name = this.#nameAt(this.#index)
      this.#advance()
      if (!this.#is(40)) this.#visitor.attribute(this.#name)
    }
  }

  #nameAt(index: number): string {
    const token = this.#tokens[index]
    if (token === undefined) return ""
    const name =
      index === this.#wordIndex
        ? this.#wordName
        : hasUnicodeEscapes(this.#sql, token)
          ? nameOf(this.#sql, token, this.#escapeBehind(index))
          : nameOf(this.#sql, token)
    if (this.#visitor.wantsNames) this.#visitor.name(name)
    return name
  }

  /** Behind a name, and behind its UESCAPE clause. */
  #advance(): void {
    const token = this.#tokens[this.#index]
    const escaped = token !== undefined && hasUnicodeEscapes(this.#sql, token)
    this.#index++
    if (escaped && this.#isWord("uescape")) this.#index += 2
  }

  #escapeBehind(index: number): string {
    const literal = this.#tokens[index + 2]
    if (!this.#isWord("uescape", index + 1) || literal === undefined) return "\\"
    return this.#sql.slice(literal.start + 1, literal.end - 1)
  }
}
