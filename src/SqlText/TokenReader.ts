/**
 * A position in the tokens of a text (comments left out), with what a walk over them asks for: is this a word, read this
 * name. It reports names to the visitor as it reads them, and the first failure.
 */
import { hasUnicodeEscapes, isWord, nameOf } from "./names.ts"
import { Tokenizer } from "./Tokenizer.ts"
import type { Token } from "./Tokenizer.ts"
import type { Visitor } from "./Visitor.ts"

export class TokenReader {
  readonly sql: string
  readonly visitor: Visitor
  readonly tokens: Array<Token> = []
  index = 0
  /** The path that `path` read last. */
  schema: string | undefined
  name = ""
  /** The name of the word at hand, made once: as a keyword it is looked up first. */
  #word = ""
  #wordIndex = -1
  #failed = false

  constructor(sql: string, visitor: Visitor) {
    this.sql = sql
    this.visitor = visitor
    const tokenizer = new Tokenizer(sql)
    for (let token = tokenizer.next(); token !== undefined; token = tokenizer.next()) {
      if (token.kind !== "comment") this.tokens.push(token)
    }
  }

  get isAtEnd(): boolean {
    return this.index >= this.tokens.length
  }

  get goesOn(): boolean {
    return !this.#failed && !this.visitor.done && !this.isAtEnd
  }

  fail(why: string): void {
    if (this.#failed) return
    this.#failed = true
    this.visitor.malformed(why)
  }

  /** Whether a token is this one character of punctuation. */
  is(code: number, index = this.index): boolean {
    const token = this.tokens[index]
    return (
      token !== undefined &&
      token.kind === "punctuation" &&
      token.end - token.start === 1 &&
      this.sql.charCodeAt(token.start) === code
    )
  }

  isWord(text: string, index = this.index): boolean {
    return isWord(this.sql, this.tokens[index], text)
  }

  isName(index = this.index): boolean {
    const kind = this.tokens[index]?.kind
    return kind === "word" || kind === "quoted"
  }

  /** Takes a word if it is this one. */
  takeWord(text: string): boolean {
    const taken = this.isWord(text)
    if (taken) this.index++
    return taken
  }

  /** Skips a list in parentheses that holds none itself. */
  skipList(): void {
    if (!this.is(40 /* ( */)) return
    while (!this.isAtEnd && !this.is(41 /* ) */)) this.index++
    this.index++
  }

  /** The word at hand, folded; remembered for a `path` that begins with it. */
  word(token: Token): string {
    this.#word = nameOf(this.sql, token)
    this.#wordIndex = this.index
    return this.#word
  }

  /** Reads `a`, `a.b`, `a.b.c`: the last name and the one before it. */
  path(): void {
    this.schema = undefined
    this.name = this.takeName()
    while (this.is(46 /* . */) && this.isName(this.index + 1)) {
      this.index++
      this.schema = this.name
      this.name = this.takeName()
      if (!this.is(40)) this.visitor.attribute(this.name)
    }
  }

  /** Reads one name, with its UESCAPE clause. */
  takeName(): string {
    const { index, sql } = this
    const token = this.tokens[index]
    this.index++
    if (token === undefined) return ""
    let name = this.#word
    if (hasUnicodeEscapes(sql, token)) name = nameOf(sql, token, this.#takeEscape())
    else if (index !== this.#wordIndex) name = nameOf(sql, token)
    if (this.visitor.wantsNames) this.visitor.name(name)
    return name
  }

  #takeEscape(): string {
    if (!this.takeWord("uescape")) return "\\"
    const literal = this.tokens[this.index]
    this.index++
    return literal === undefined ? "\\" : this.sql.slice(literal.start + 1, literal.end - 1)
  }
}
