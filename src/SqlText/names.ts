/**
 * What a name token means to the server: case folded, quotes and unicode escapes undone, cut to the length that a name of
 * PostgreSQL can have.
 */
import type { Token } from "./Tokenizer.ts"

/** Names longer than `NAMEDATALEN - 1` bytes are cut by the server, with a notice only. */
const maxBytes = 63

/** Whether an unquoted token is this keyword (given in lower case), without making a string. */
export const isWord = (sql: string, token: Token | undefined, keyword: string): boolean => {
  if (token === undefined || token.kind !== "word" || token.end - token.start !== keyword.length) return false
  for (let i = 0; i < keyword.length; i++) {
    if ((sql.charCodeAt(token.start + i) | 32) !== keyword.charCodeAt(i)) return false
  }
  return true
}

/** Folds ASCII only, as the server does in a multi-byte encoding: `K` (the Kelvin sign) is no `k` to it. */
export const foldCase = (text: string): string => {
  let upper = false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code >= 128) return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
    if (code >= 65 && code <= 90) upper = true
  }
  return upper ? text.toLowerCase() : text
}

/** The name that a `word` or `quoted` token stands for; `escape` is the character that a UESCAPE clause names. */
export const nameOf = (sql: string, token: Token, escape = "\\"): string => {
  const text = sql.slice(token.start, token.end)
  if (token.kind === "word") return truncate(foldCase(text))
  if (text.charCodeAt(0) === 34) return truncate(unquote(text.slice(1, -1)))
  return truncate(decode(unquote(text.slice(3, -1)), escape))
}

/** Whether a token is a name with unicode escapes (`U&".."`), which a UESCAPE clause may follow. */
export const hasUnicodeEscapes = (sql: string, token: Token): boolean =>
  token.kind === "quoted" && sql.charCodeAt(token.start) !== 34

const unquote = (body: string): string => (body.includes('""') ? body.replaceAll('""', '"') : body)

const hexadecimal = /^[0-9a-fA-F]+$/

/** A malformed escape is left as it is: the server refuses the statement, and no catalogue knows the name. */
const decode = (body: string, escape: string): string => {
  let result = ""
  for (let i = 0; i < body.length; i++) {
    const character = body.charAt(i)
    if (character !== escape) {
      result += character
      continue
    }
    if (body.charAt(i + 1) === escape) {
      result += escape
      i++
      continue
    }
    const wide = body.charAt(i + 1) === "+"
    const from = wide ? i + 2 : i + 1
    const digits = body.slice(from, from + (wide ? 6 : 4))
    const point = hexadecimal.test(digits) ? Number.parseInt(digits, 16) : Number.NaN
    if (digits.length !== (wide ? 6 : 4) || !(point <= 0x10ffff)) {
      result += character
      continue
    }
    result += String.fromCodePoint(point)
    i = from + digits.length - 1
  }
  return result
}

const truncate = (name: string): string => {
  // At most three bytes of UTF-8 per code unit: a short name needs no counting.
  if (name.length * 3 <= maxBytes) return name
  let bytes = 0
  let end = 0
  for (const character of name) {
    const point = character.codePointAt(0) ?? 0
    bytes += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4
    if (bytes > maxBytes) return name.slice(0, end)
    end += character.length
  }
  return name
}
