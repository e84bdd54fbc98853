/**
 * The automaton of one query: a stack of frames, one for each open parenthesis, that knows exactly as much grammar as it
 * takes to tell a relation from a column and a call from an alias. One class, because every transition depends on the same
 * state. What it does not understand is `malformed`.
 */
import { classOf, keyword, role, roleOf, wordClass } from "./keywords.ts"
import { nameOf } from "./names.ts"
import type { TokenReader } from "./TokenReader.ts"
import type { Token } from "./Tokenizer.ts"
import type { CallCertainty, QueryVerb } from "./Visitor.ts"

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

/** Reads the query at the reader's position and reports what it touches. Does not recurse. */
export class Query {
  readonly #read: TokenReader
  #frame = new Frame(at.start, 0, false, false)
  readonly #outer: Array<Frame> = []
  /** The names of CTEs in scope. */
  readonly #ctes: Array<string> = []

  constructor(read: TokenReader) {
    this.#read = read
  }

  /** Reads a query up to its semicolon, or (`group`) up to the parenthesis that closes the first one. */
  run(group: boolean): void {
    const read = this.#read
    const begin = read.index
    while (read.goesOn) {
      if (group && this.#outer.length === 0 && read.index > begin) return
      const token = read.tokens[read.index]
      if (token === undefined) return
      switch (token.kind) {
        case "word":
          this.#word(token)
          break
        case "quoted":
          this.#nameToken(false, wordClass.any)
          break
        case "punctuation":
          if (read.is(59 /* ; */)) return this.#end("a semicolon in parentheses")
          this.#punctuation(token)
          break
        case "operator":
          if (read.visitor.wantsOperators) read.visitor.operator(read.sql.slice(token.start, token.end))
          this.#operand()
          break
        case "string":
          read.visitor.string(token)
          this.#operand()
          break
        case "invalid":
          return read.fail("a character that is not SQL, or a literal or comment without end")
        default:
          this.#operand()
      }
    }
    if (read.isAtEnd) this.#end("a parenthesis left open")
  }

  #end(inParentheses: string): void {
    if (this.#outer.length > 0) this.#read.fail(inParentheses)
    else if (this.#isDue()) this.#read.fail("a statement that breaks off")
  }

  #isDue(): boolean {
    const { state } = this.#frame
    return state === at.item || state === at.itemOrQuery || state === at.cteName || state === at.cteHead
  }

  /** A token that can only be part of an expression (or the `*` of `table *`). */
  #operand(): void {
    const read = this.#read
    read.index++
    if (this.#isDue()) return read.fail("a name was expected")
    if (this.#frame.state === at.start) this.#frame.state = at.expression
  }

  #punctuation(token: Token): void {
    const read = this.#read
    const frame = this.#frame
    read.index++
    if (token.end - token.start === 2) {
      // Behind `::` stands a type, whose parentheses are no call.
      if (read.sql.charCodeAt(token.start + 1) === 58) this.#type()
      return
    }
    switch (read.sql.charCodeAt(token.start)) {
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
        else if (this.#isDue()) read.fail("a name was expected")
        return
      case 46 /* . */:
        // `(row).column`, `$1.column`: paths of plain names never come here.
        if (read.isName()) read.visitor.attribute(read.takeName())
        return
    }
  }

  #open(bracket: boolean, syntax: boolean): void {
    const read = this.#read
    const { state } = this.#frame
    let inner: number = at.start
    if (state === at.item || state === at.itemOrQuery) inner = at.itemOrQuery
    else if (state === at.cteName) return read.fail("a name was expected")
    else if (syntax) inner = at.expression
    this.#outer.push(this.#frame)
    this.#frame = new Frame(inner, this.#ctes.length, bracket, syntax)
  }

  #close(bracket: boolean): void {
    const read = this.#read
    const inner = this.#frame
    const frame = this.#outer.pop()
    if (frame === undefined || inner.bracket !== bracket) return read.fail("a parenthesis that was not opened")
    if (this.#isDue()) return read.fail("a name was expected")
    this.#ctes.length = inner.ctes
    this.#frame = frame
    if (frame.state === at.item || frame.state === at.itemOrQuery) frame.state = at.tail
    else if (frame.state === at.cteHead && frame.cte !== undefined) {
      if (!frame.recursive) this.#ctes.push(frame.cte)
      frame.cte = undefined
      frame.state = at.cteTail
    } else if (frame.state === at.start) frame.state = at.expression
  }

  #word(token: Token): void {
    const read = this.#read
    const entry = keyword(read.word(token))
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
        (part === role.values && read.is(40, read.index + 1))
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
    const read = this.#read
    const frame = this.#frame
    const next = read.index + 1
    switch (part) {
      case role.select:
        this.#verb("select")
        frame.takesFrom = true
        frame.state = at.expression
        return true
      case role.values:
        if (!read.is(40, next)) return false
        this.#verb("values")
        frame.state = at.expression
        return true
      case role.table:
        this.#verb("table")
        frame.state = at.item
        return true
      case role.with:
        frame.recursive = read.isWord("recursive", next) && !read.isWord("as", next + 1) && !read.is(40, next + 1)
        read.index += frame.recursive ? 2 : 1
        frame.state = at.cteName
        return true
      case role.insert:
      case role.merge:
        if (this.#outer.length > 0 && !read.isWord("into", next)) return false
        this.#verb(part === role.insert ? "insert" : "merge")
        read.takeWord("into")
        this.#target()
        return true
      case role.delete:
        if (this.#outer.length > 0 && !read.isWord("from", next)) return false
        this.#verb("delete")
        read.takeWord("from")
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
    const read = this.#read
    this.#frame.verb = verb
    read.visitor.query(verb, this.#outer.length > 0)
    read.index++
  }

  /** Whether a table's name can stand here; `(update IS NULL)` speaks of a column. */
  #canNameTable(index: number): boolean {
    const read = this.#read
    const token = read.tokens[index]
    if (token?.kind === "quoted") return true
    if (token?.kind !== "word") return false
    const entry = keyword(nameOf(read.sql, token))
    return classOf(entry) < wordClass.function || read.isWord("only", index)
  }

  /** The table that a statement changes, and what may come behind it. */
  #target(): void {
    const read = this.#read
    const parenthesis = read.isWord("only") && read.is(40, read.index + 1)
    if (read.isWord("only")) read.index += parenthesis ? 2 : 1
    if (!read.isName()) return read.fail("a table was expected")
    read.path()
    read.visitor.relation(read.schema, read.name, "target")
    if (parenthesis && read.is(41)) read.index++
    this.#frame.state = this.#frame.verb === "insert" ? at.insertTail : at.tail
  }

  /** A word in or behind a WITH clause; false where the statement itself begins. */
  #cte(): boolean {
    const read = this.#read
    const frame = this.#frame
    if (frame.state === at.cteName) {
      frame.cte = read.takeName()
      if (frame.recursive) this.#ctes.push(frame.cte)
      read.skipList()
      if (!read.takeWord("as")) read.fail("AS was expected")
      read.takeWord("not")
      read.takeWord("materialized")
      if (!read.is(40)) read.fail("a query in parentheses was expected")
      frame.state = at.cteHead
      return true
    }
    if (frame.state === at.cteTail && (read.isWord("search") || read.isWord("cycle"))) {
      // SEARCH .. SET column, CYCLE .. USING column.
      const last = read.isWord("search") ? "set" : "using"
      while (!read.isAtEnd && !read.isWord(last) && !read.is(59)) read.index++
      read.index++
      if (read.isName()) read.takeName()
      return true
    }
    if (frame.state !== at.cteTail) read.fail("a query in parentheses was expected")
    frame.state = at.start
    return false
  }

  /** A word in its part as a keyword; false where it is a name after all. */
  #keyword(part: number): boolean {
    const read = this.#read
    const frame = this.#frame
    const { state } = frame
    const inFrom = state === at.tail || state === at.condition
    const next = read.index + 1
    switch (part) {
      case role.from:
        read.index++
        if (frame.takesFrom) frame.state = at.item
        return true
      case role.join:
        if (!inFrom) return false
        read.index++
        frame.state = at.item
        return true
      case role.on:
        read.index++
        if (inFrom) frame.state = at.condition
        else if (state === at.insertTail) frame.state = at.expression
        return true
      case role.using:
        read.index++
        // `DELETE FROM a USING b`, `MERGE INTO a USING b`; otherwise it takes the columns of a join in parentheses.
        if (inFrom && !frame.takesFrom && (frame.verb === "delete" || frame.verb === "merge")) {
          frame.takesFrom = true
          frame.state = at.item
        }
        return true
      case role.clause:
        read.index++
        if (inFrom) frame.state = at.expression
        return true
      case role.when:
        // Behind the condition of a MERGE; everywhere else it belongs to a CASE.
        read.index++
        if (frame.verb === "merge") frame.state = at.expression
        return true
      case role.within:
        if (!read.isWord("group", next)) return false
        read.index += 2
        return true
      case role.set:
        // Once: behind it the word is an alias like any other.
        if (!inFrom || frame.verb !== "update" || frame.takesFrom) return false
        read.index++
        frame.takesFrom = true
        frame.state = at.expression
        return true
      case role.setOperation:
        read.index++
        if (!read.takeWord("all")) read.takeWord("distinct")
        frame.state = at.start
        frame.takesFrom = false
        return true
      case role.for:
        read.index++
        if (inFrom) frame.state = at.expression
        if (frame.syntax) return true
        if (read.isWord("update") || read.isWord("no")) read.visitor.clause("FOR UPDATE")
        else if (read.isWord("share") || read.isWord("key")) read.visitor.clause("FOR SHARE")
        return true
      case role.into:
        read.index++
        read.visitor.clause("INTO")
        return true
      case role.as:
        read.index++
        this.#type()
        return true
      case role.distinct:
        // `IS DISTINCT FROM`: SELECT DISTINCT has something to select before its FROM.
        read.index += read.isWord("from", next) ? 2 : 1
        return true
      case role.modifier:
        read.index++
        return true
      case role.rows:
        if (state !== at.item || !read.isWord("from", next)) return false
        read.index += 2
        return true
      case role.tablesample:
        if (!inFrom) return false
        read.index++
        if (read.isName()) read.path()
        return true
      case role.with:
        // WITH ORDINALITY, WITH TIES, WITH TIME ZONE ..
        read.index++
        read.takeWord("ordinality")
        return true
      case role.value:
        if (state !== at.item) return false
        read.index++
        frame.state = at.tail
        return true
      case role.select:
      case role.table:
        // Only a label can stand here: `SELECT 1 select`.
        read.index = next
        return true
      default:
        return false
    }
  }

  /** A name, or a keyword that is used as one. */
  #nameToken(unquoted: boolean, entry: number): void {
    const read = this.#read
    const frame = this.#frame
    switch (frame.state) {
      case at.cteName:
        this.#cte()
        return
      case at.cteHead:
        return read.fail("a query in parentheses was expected")
      case at.cteTail:
        return read.fail("a statement was expected")
      case at.item:
      case at.itemOrQuery:
        return this.#item(unquoted, entry)
      case at.tail:
        // An alias, unless it belongs to JOIN; a list of columns may follow it.
        read.path()
        if (read.is(40) && classOf(entry) !== wordClass.reserved) read.visitor.call(undefined, read.name, "construct")
        return
      case at.start:
        frame.state = at.expression
    }
    read.path()
    if (read.is(40)) this.#call(unquoted, entry)
  }

  #item(unquoted: boolean, entry: number): void {
    const read = this.#read
    const frame = this.#frame
    read.path()
    if (read.is(40)) {
      frame.state = at.tail
      this.#call(unquoted, entry)
    } else if (unquoted && read.schema === undefined && classOf(entry) >= wordClass.function) {
      read.fail("a relation was expected")
    } else {
      frame.state = at.tail
      if (read.schema !== undefined || !this.#ctes.includes(read.name)) {
        read.visitor.relation(read.schema, read.name, "source")
      }
    }
  }

  /** A path before a parenthesis, which it opens. */
  #call(unquoted: boolean, entry: number): void {
    const read = this.#read
    const single = unquoted && read.schema === undefined
    if (!single || classOf(entry) !== wordClass.reserved) {
      const part = roleOf(entry)
      const isConstruct =
        part === role.construct || part === role.rows || (part === role.insert && this.#frame.verb === "merge")
      const certain = !single || (classOf(entry) === wordClass.any && !isConstruct)
      const certainty: CallCertainty = certain ? "call" : "construct"
      read.visitor.call(read.schema, read.name, certainty)
    }
    read.index++
    this.#open(false, single && roleOf(entry) === role.callWithFrom)
  }

  /** What follows AS or `::`: a label, an alias or a type, and never a keyword. */
  #type(): void {
    const read = this.#read
    if (!read.isName()) return
    read.path()
    if (read.is(40)) read.visitor.call(read.schema, read.name, "construct")
  }
}
