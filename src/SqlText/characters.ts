/**
 * The character classes of PostgreSQL's lexer (`src/backend/parser/scan.l`), by code unit. Whatever is not ASCII may start
 * and continue an identifier, so a code unit from 128 on is always a letter.
 */
const letter = 1
const digit = 2
const space = 4
const operator = 8
const dollar = 16
/** Once one of these is in an operator, it may end in `+` or `-`. */
const operatorMark = 32

const classes = new Uint8Array(128)
const mark = (characters: string, flag: number): void => {
  for (let i = 0; i < characters.length; i++) {
    const code = characters.charCodeAt(i)
    classes[code] = (classes[code] ?? 0) | flag
  }
}
mark("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_", letter)
mark("0123456789", digit)
mark(" \t\n\r\f\v", space)
mark("~!@#^&|`?+-*/%<>=", operator)
mark("~!@#^&|`?%", operatorMark)
mark("$", dollar)

const has = (code: number, flags: number): boolean => ((classes[code] ?? 0) & flags) !== 0

/** The end of a text reads as NaN from `charCodeAt`, which belongs to no class. */
export const isSpace = (code: number): boolean => code < 128 && has(code, space)
export const isDigit = (code: number): boolean => code < 128 && has(code, digit)
export const isIdentifierStart = (code: number): boolean => code >= 128 || has(code, letter)
export const isIdentifierPart = (code: number): boolean => code >= 128 || has(code, letter | digit | dollar)
/** A tag of a dollar quote is an identifier without `$`. */
export const isTagPart = (code: number): boolean => code >= 128 || has(code, letter | digit)
export const isOperator = (code: number): boolean => code < 128 && has(code, operator)
export const isOperatorMark = (code: number): boolean => code < 128 && has(code, operatorMark)
export const isNewline = (code: number): boolean => code === 10 || code === 13
