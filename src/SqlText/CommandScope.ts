/**
 * Knows of a statement being read whether a semicolon would end it: not in parentheses (CREATE RULE), and not in the body
 * of an SQL-standard routine.
 */
import { foldCase, isWord } from "./names.ts"
import type { Token } from "./Tokenizer.ts"

export const isSemicolon = (sql: string, token: Token): boolean =>
  token.kind === "punctuation" && sql.charCodeAt(token.start) === 59

/** `CREATE [OR REPLACE] FUNCTION` or `PROCEDURE`: the only statements with semicolons outside of parentheses. */
const routineHead = /^(?: or replace)? (?:function|procedure)$/

/** What the tokens taken so far have opened. */
export class CommandScope {
  readonly start: number
  end: number
  readonly #sql: string
  /** The first four words of a CREATE, which say whether it makes a routine. */
  #head = ""
  #tokens = 0
  #create = false
  #routine = false
  #copy = false
  #depth = 0
  #body = false
  #last: Token | undefined
  readsRows = false

  constructor(sql: string, start: number) {
    this.#sql = sql
    this.start = start
    this.end = start
  }

  get isOver(): boolean {
    return this.#depth === 0 && !this.#body
  }

  take(token: Token): void {
    const sql = this.#sql
    if (token.kind === "punctuation") {
      const code = sql.charCodeAt(token.start)
      if (code === 40 /* ( */) this.#depth++
      else if (code === 41 /* ) */ && this.#depth > 0) this.#depth--
    } else if (token.kind === "word") this.#word(token)
    this.#tokens++
    this.#last = token
    this.end = token.end
  }

  #word(token: Token): void {
    const sql = this.#sql
    if (this.#tokens === 0) {
      this.#create = isWord(sql, token, "create")
      this.#copy = isWord(sql, token, "copy")
    } else if (this.#create && this.#tokens < 4 && !this.#routine) {
      this.#head += ` ${foldCase(sql.slice(token.start, token.end))}`
      this.#routine = routineHead.test(this.#head)
    }
    if (this.#depth > 0) return
    if (this.#copy && isWord(sql, token, "stdin") && isWord(sql, this.#last, "from")) this.readsRows = true
    else if (this.#routine && isWord(sql, token, "atomic") && isWord(sql, this.#last, "begin")) this.#body = true
    else if (this.#body && isWord(sql, token, "end") && this.#endsBody()) this.#body = false
  }

  /** `END` closes a body only where a statement could begin; elsewhere it belongs to a CASE or is a label. */
  #endsBody(): boolean {
    return this.#last !== undefined && (isSemicolon(this.#sql, this.#last) || isWord(this.#sql, this.#last, "atomic"))
  }
}
