/**
 * Turns an offset into a text into a line, a column and an excerpt with a caret under the place.
 */

/** A place in a text; line and column count characters from 1. */
export interface Place {
  readonly line: number
  readonly column: number
}

/** How many lines before the place the excerpt shows. */
const linesBefore = 2

/** The place of a UTF-16 offset. */
export const placeOf = (text: string, offset: number): Place => {
  const before = text.slice(0, offset)
  const lineStart = before.lastIndexOf("\n") + 1
  return { line: before.split("\n").length, column: [...before.slice(lineStart)].length + 1 }
}

/** The UTF-16 offset of PostgreSQL's position, which counts characters (code points) from 1. */
export const offsetOfPosition = (statement: string, position: number): number =>
  [...statement].slice(0, position - 1).join("").length

/** The lines that lead to the place, numbered, and a caret under it. */
export const excerpt = (text: string, offset: number): string => {
  const { column, line } = placeOf(text, offset)
  const lines = text.split("\n")
  const width = String(line).length
  const first = Math.max(1, line - linesBefore)
  const shown = lines
    .slice(first - 1, line)
    .map((content, index) => `  ${String(first + index).padStart(width)} | ${content}`)
  // A tab before the place stays a tab, so that the caret stands under it whatever the terminal's tab width is.
  const indent = [...(lines[line - 1] ?? "")].slice(0, column - 1).map((character) => (character === "\t" ? "\t" : " "))
  return [...shown, `  ${" ".repeat(width)} | ${indent.join("")}^`].join("\n")
}
