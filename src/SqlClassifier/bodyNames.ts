/**
 * The names in the body of a function written in SQL or PL/pgSQL: a function that is declared STABLE may still call a
 * VOLATILE one, and nothing but its text says so.
 */
import { isWord, nameOf } from "../SqlText/names.ts"
import { type Token, tokenize } from "../SqlText/Tokenizer.ts"

export interface BodyName {
  readonly kind: "function" | "relation"
  readonly schema: string | undefined
  readonly name: string
}

/**
 * Every name before a parenthesis and every name behind FROM or JOIN. Some of them are columns and types; statements that a
 * body puts together at run time remain unseen.
 */
export const bodyNames = (body: string): ReadonlyArray<BodyName> => {
  const tokens = tokenize(body).filter((token) => token.kind !== "comment")
  const is = (index: number, text: string): boolean => {
    const token = tokens[index]
    return token?.kind === "punctuation" && body.slice(token.start, token.end) === text
  }
  const found: Array<BodyName> = []
  for (let index = 0; index < tokens.length; index++) {
    const before = tokens[index - 1]
    const path = [nameAt(body, tokens[index])]
    if (path[0] === undefined) continue
    while (is(index + 1, ".") && nameAt(body, tokens[index + 2]) !== undefined) {
      index += 2
      path.push(nameAt(body, tokens[index]))
    }
    const name = path.at(-1)
    if (name === undefined) continue
    if (is(index + 1, "(")) found.push({ kind: "function", schema: path.at(-2), name })
    else if (isWord(body, before, "from") || isWord(body, before, "join")) {
      found.push({ kind: "relation", schema: path.at(-2), name })
    }
  }
  return found
}

const nameAt = (body: string, token: Token | undefined): string | undefined =>
  token?.kind === "word" || token?.kind === "quoted" ? nameOf(body, token) : undefined
