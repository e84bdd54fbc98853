/**
 * Cuts a script into statements where the server would: at semicolons outside of parentheses and of the bodies of
 * SQL-standard routines, and jumps over the rows that follow a `COPY .. FROM stdin`.
 */
import { CommandScope, isSemicolon } from "./CommandScope.ts"
import { foldCase } from "./names.ts"
import { Tokenizer } from "./Tokenizer.ts"

/**
 * One statement of a script, without its semicolon and without the comments around it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Statement {
  readonly text: string
  /** Where `text` begins and ends in the script, in UTF-16 code units. */
  readonly start: number
  readonly end: number
  /** Of its first character, both from 1. */
  readonly line: number
  readonly column: number
  /** The rows between a `COPY .. FROM stdin` and its `\.`, as they stand in the script. */
  readonly rows?: string | undefined
}

/**
 * The statements of a script, in order; never an empty one. Text that no statement can be made of (an unterminated literal,
 * a parenthesis left open) stays with the statement it begins in, and the server will say what is wrong with it.
 *
 * @since 0.1.0
 * @category splitting
 */
export const statements = (sql: string): ReadonlyArray<Statement> => {
  const found: Array<Statement> = []
  const tokenizer = new Tokenizer(sql, sql.charCodeAt(0) === 0xfeff ? 1 : 0)
  const lines = new LineCounter(sql)
  let scope: CommandScope | undefined
  const finish = (rows?: string): void => {
    if (scope === undefined) return
    const { end, start } = scope
    const { column, line } = lines.at(start)
    found.push({ text: sql.slice(start, end), start, end, line, column, rows })
    scope = undefined
  }
  for (let token = tokenizer.next(); token !== undefined; token = tokenizer.next()) {
    if (token.kind === "comment") continue
    if (isSemicolon(sql, token) && (scope === undefined || scope.isOver)) {
      const rows = scope?.readsRows === true ? rowsAfter(sql, token.end) : undefined
      if (rows !== undefined) tokenizer.position = rows.next
      finish(rows?.text)
    } else {
      scope ??= new CommandScope(sql, token.start)
      scope.take(token)
    }
  }
  finish()
  return found
}

/**
 * A script as its tokens: comments and layout removed, keywords and unquoted names in lower case, line ends as LF. Two
 * scripts with the same normal form mean the same to the server.
 *
 * @since 0.1.0
 * @category splitting
 */
export const normalize = (sql: string): string =>
  statements(sql)
    .map(({ rows, text }) =>
      (rows === undefined ? joined(text) : `${joined(text)} ;\n${rows}\\.`).replaceAll("\r\n", "\n")
    )
    .join(" ; ")

const joined = (sql: string): string => {
  const tokenizer = new Tokenizer(sql)
  const parts: Array<string> = []
  for (let token = tokenizer.next(); token !== undefined; token = tokenizer.next()) {
    if (token.kind === "comment") continue
    const text = sql.slice(token.start, token.end)
    parts.push(token.kind === "word" ? foldCase(text) : text)
  }
  return parts.join(" ")
}

const blankRest = /[ \t\f\v]*(?:--[^\n\r]*)?(?:\r\n|\n|\r)/y
const lastRow = /^\\\.[ \t]*(?:\r\n|\n|\r|$)/gm

/** The rows from the next line up to `\.`; without that line the text after the semicolon is taken for SQL. */
const rowsAfter = (sql: string, from: number): { readonly text: string; readonly next: number } | undefined => {
  blankRest.lastIndex = from
  if (!blankRest.test(sql)) return undefined
  const start = blankRest.lastIndex
  lastRow.lastIndex = start
  const end = lastRow.exec(sql)
  return end === null ? undefined : { text: sql.slice(start, end.index), next: lastRow.lastIndex }
}

/** Lines and columns of ascending offsets, each character of the text visited once. */
class LineCounter {
  readonly #sql: string
  #offset = 0
  #line = 1
  #lineStart = 0

  constructor(sql: string) {
    this.#sql = sql
  }

  at(offset: number): { readonly line: number; readonly column: number } {
    for (; this.#offset < offset; this.#offset++) {
      const code = this.#sql.charCodeAt(this.#offset)
      if (code === 10 || (code === 13 && this.#sql.charCodeAt(this.#offset + 1) !== 10)) {
        this.#line++
        this.#lineStart = this.#offset + 1
      }
    }
    return { line: this.#line, column: offset - this.#lineStart + 1 }
  }
}
