/**
 * PostgreSQL's lexer in one pass: cuts SQL into tokens exactly where `scan.l` of PostgreSQL 14 to 18 does, never throws, and
 * never recurses, so that neither a megabyte nor a hostile statement costs more than its length.
 */
import * as Character from "./characters.ts"

/**
 * What a token is. A `word` is a keyword or an unquoted identifier, `quoted` is `".."` or `U&".."`, a `string` is any
 * literal in single quotes or dollars (with its continuation lines). `invalid` is a character that no SQL contains, or a
 * literal, identifier or comment that the text ends in the middle of.
 *
 * @since 0.1.0
 * @category models
 */
export type TokenKind =
  "word" | "quoted" | "string" | "number" | "parameter" | "operator" | "punctuation" | "comment" | "invalid"

/**
 * One token, as offsets (UTF-16 code units) into the text it was cut from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Token {
  readonly kind: TokenKind
  readonly start: number
  readonly end: number
}

/** Names and strings that open with a letter: B'', E'', N'', U&'', X''. */
const isCode = (code: number, lowerCase: number): boolean => (code | 32) === lowerCase

export class Tokenizer {
  readonly sql: string
  /** Where the next token is looked for; may be moved to jump over text that is not SQL (the rows of a COPY). */
  position: number

  constructor(sql: string, position = 0) {
    this.sql = sql
    this.position = position
  }

  /** The next token, comments included; `undefined` at the end. */
  next(): Token | undefined {
    const { sql } = this
    let start = this.position
    while (Character.isSpace(sql.charCodeAt(start))) start++
    if (start >= sql.length) {
      this.position = start
      return undefined
    }
    const code = sql.charCodeAt(start)
    const following = sql.charCodeAt(start + 1)
    if (Character.isIdentifierStart(code)) return this.#word(start, code, following)
    if (Character.isDigit(code)) return this.#token("number", start, numberEnd(sql, start))
    switch (code) {
      case 39 /* ' */:
        return this.#literal("string", start, stringEnd(sql, start + 1, false))
      case 34 /* " */:
        return this.#literal("quoted", start, quotedEnd(sql, start + 1))
      case 36 /* $ */:
        return this.#dollar(start, following)
      case 46 /* . */:
        if (Character.isDigit(following)) return this.#token("number", start, numberEnd(sql, start))
        return this.#token("punctuation", start, following === 46 ? start + 2 : start + 1)
      case 58 /* : */:
        return this.#token("punctuation", start, following === 58 || following === 61 ? start + 2 : start + 1)
      case 44 /* , */:
      case 59 /* ; */:
      case 40 /* ( */:
      case 41 /* ) */:
      case 91 /* [ */:
      case 93 /* ] */:
        return this.#token("punctuation", start, start + 1)
      case 45 /* - */:
        if (following === 45) return this.#token("comment", start, lineEnd(sql, start))
        break
      case 47 /* / */:
        if (following === 42) return this.#literal("comment", start, blockCommentEnd(sql, start + 2))
        break
    }
    return Character.isOperator(code)
      ? this.#token("operator", start, operatorEnd(sql, start))
      : this.#token("invalid", start, start + 1)
  }

  #token(kind: TokenKind, start: number, end: number): Token {
    this.position = end
    return { kind, start, end }
  }

  /** A token whose end was not found (-1) takes the rest of the text. */
  #literal(kind: TokenKind, start: number, end: number): Token {
    return end < 0 ? this.#token("invalid", start, this.sql.length) : this.#token(kind, start, end)
  }

  #word(start: number, code: number, following: number): Token {
    const { sql } = this
    if (following === 39 /* ' */) {
      if (isCode(code, 101 /* e */)) return this.#literal("string", start, stringEnd(sql, start + 2, true))
      if (isCode(code, 98 /* b */) || isCode(code, 120 /* x */)) {
        return this.#literal("string", start, bitStringEnd(sql, start + 2))
      }
    } else if (following === 38 /* & */ && isCode(code, 117 /* u */)) {
      const third = sql.charCodeAt(start + 2)
      if (third === 39) return this.#literal("string", start, stringEnd(sql, start + 3, false))
      if (third === 34) return this.#literal("quoted", start, quotedEnd(sql, start + 3))
    }
    let end = start + 1
    while (Character.isIdentifierPart(sql.charCodeAt(end))) end++
    return this.#token("word", start, end)
  }

  #dollar(start: number, following: number): Token {
    const { sql } = this
    let end = start + 1
    if (Character.isDigit(following)) {
      while (Character.isDigit(sql.charCodeAt(end))) end++
      return this.#token("parameter", start, end)
    }
    if (Character.isIdentifierStart(following)) {
      while (Character.isTagPart(sql.charCodeAt(end))) end++
    }
    if (sql.charCodeAt(end) !== 36) return this.#token("invalid", start, start + 1)
    const delimiter = sql.slice(start, end + 1)
    const close = sql.indexOf(delimiter, end + 1)
    return this.#literal("string", start, close < 0 ? -1 : close + delimiter.length)
  }
}

/**
 * All tokens of a text, comments included.
 *
 * @since 0.1.0
 * @category constructors
 */
export const tokenize = (sql: string): ReadonlyArray<Token> => {
  const tokenizer = new Tokenizer(sql)
  const tokens: Array<Token> = []
  for (let token = tokenizer.next(); token !== undefined; token = tokenizer.next()) tokens.push(token)
  return tokens
}

const lineEnd = (sql: string, from: number): number => {
  let end = from
  while (end < sql.length && !Character.isNewline(sql.charCodeAt(end))) end++
  return end
}

const blockCommentEnd = (sql: string, from: number): number => {
  let depth = 1
  for (let i = from; i + 1 < sql.length; i++) {
    const code = sql.charCodeAt(i)
    if (code === 42 /* * */ && sql.charCodeAt(i + 1) === 47) {
      depth--
      i++
      if (depth === 0) return i + 1
    } else if (code === 47 /* / */ && sql.charCodeAt(i + 1) === 42) {
      depth++
      i++
    }
  }
  return -1
}

const quotedEnd = (sql: string, from: number): number => {
  let close = sql.indexOf('"', from)
  while (close >= 0 && sql.charCodeAt(close + 1) === 34) close = sql.indexOf('"', close + 2)
  return close < 0 ? -1 : close + 1
}

/** Where a string's body ends, its continuations on later lines included: they keep the escapes of the first part. */
const stringEnd = (sql: string, from: number, escapes: boolean): number => {
  let body = from
  for (;;) {
    const close = escapes ? escapedQuote(sql, body) : plainQuote(sql, body)
    if (close < 0) return -1
    body = continuation(sql, close + 1)
    if (body < 0) return close + 1
  }
}

const plainQuote = (sql: string, from: number): number => {
  let close = sql.indexOf("'", from)
  while (close >= 0 && sql.charCodeAt(close + 1) === 39) close = sql.indexOf("'", close + 2)
  return close
}

const escapedQuote = (sql: string, from: number): number => {
  for (let i = from; i < sql.length; i++) {
    const code = sql.charCodeAt(i)
    if (code === 92 /* \ */) i++
    else if (code === 39) {
      if (sql.charCodeAt(i + 1) !== 39) return i
      i++
    }
  }
  return -1
}

/** B'' and X'' know neither escapes nor doubled quotes. */
const bitStringEnd = (sql: string, from: number): number => {
  let body = from
  for (;;) {
    const close = sql.indexOf("'", body)
    if (close < 0) return -1
    body = continuation(sql, close + 1)
    if (body < 0) return close + 1
  }
}

/**
 * The standard's continuation of a literal: white space with at least one newline (line comments count as white space),
 * then a quote. Gives the offset after that quote, or -1.
 */
const continuation = (sql: string, from: number): number => {
  let newline = false
  for (let i = from; i < sql.length; i++) {
    const code = sql.charCodeAt(i)
    if (Character.isNewline(code)) newline = true
    else if (code === 39) return newline ? i + 1 : -1
    else if (code === 45 && sql.charCodeAt(i + 1) === 45) i = lineEnd(sql, i) - 1
    else if (!Character.isSpace(code)) return -1
  }
  return -1
}

/** Digits with single underscores between them (PostgreSQL 16); `from` must be at a digit to match anything. */
const digitsEnd = (sql: string, from: number): number => {
  let end = from
  while (Character.isDigit(sql.charCodeAt(end))) {
    end++
    if (sql.charCodeAt(end) === 95 /* _ */ && Character.isDigit(sql.charCodeAt(end + 1))) end++
  }
  return end
}

const isHexadecimal = (code: number): boolean => Character.isDigit(code) || ((code | 32) >= 97 && (code | 32) <= 102)
const isOctal = (code: number): boolean => code >= 48 && code <= 55
const isBinary = (code: number): boolean => code === 48 || code === 49

const radixEnd = (sql: string, from: number, belongs: (code: number) => boolean): number => {
  let end = from
  for (;;) {
    const next = sql.charCodeAt(end) === 95 ? end + 1 : end
    if (!belongs(sql.charCodeAt(next))) return end
    end = next + 1
  }
}

const numberEnd = (sql: string, start: number): number => {
  if (sql.charCodeAt(start) === 48) {
    const radix = sql.charCodeAt(start + 1) | 32
    const belongs = radix === 120 ? isHexadecimal : radix === 111 ? isOctal : radix === 98 ? isBinary : undefined
    if (belongs !== undefined) {
      const end = radixEnd(sql, start + 2, belongs)
      if (end > start + 2) return end
    }
  }
  let end = digitsEnd(sql, start)
  // `1..2` is a range of PL/pgSQL: the first dot is not a decimal point.
  if (sql.charCodeAt(end) === 46 && (end === start || sql.charCodeAt(end + 1) !== 46)) end = digitsEnd(sql, end + 1)
  if ((sql.charCodeAt(end) | 32) === 101 /* e */) {
    const sign = sql.charCodeAt(end + 1)
    const exponent = sign === 43 || sign === 45 ? end + 2 : end + 1
    if (Character.isDigit(sql.charCodeAt(exponent))) end = digitsEnd(sql, exponent)
  }
  return end
}

/**
 * An operator ends where a comment starts, and (unless it contains a character that SQL's own operators do not) before a
 * trailing `+` or `-`, so that `a=-1` is three tokens.
 */
const operatorEnd = (sql: string, start: number): number => {
  let end = start
  let marked = false
  for (;;) {
    const code = sql.charCodeAt(end)
    if (!Character.isOperator(code)) break
    const following = sql.charCodeAt(end + 1)
    if (end > start && ((code === 47 && following === 42) || (code === 45 && following === 45))) break
    // The last character does not vouch for itself, but none of the marks is a sign anyway.
    if (Character.isOperatorMark(code)) marked = true
    end++
  }
  if (marked) return end
  while (end > start + 1) {
    const last = sql.charCodeAt(end - 1)
    if (last !== 43 && last !== 45) break
    end--
  }
  return end
}
