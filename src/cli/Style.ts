/**
 * Emphasis on a terminal, and plain text everywhere else.
 */

/** Marks a piece of text. */
export type Mark = (text: string) => string

/** What text can be marked as. */
export interface Style {
  readonly bold: Mark
  readonly dim: Mark
  readonly good: Mark
  readonly warning: Mark
  readonly bad: Mark
}

const plain: Mark = (text) => text

const ansi =
  (open: number, close: number): Mark =>
  (text) =>
    text === "" ? text : `\u001b[${open}m${text}\u001b[${close}m`

/** Text as it is. */
export const none: Style = { bold: plain, dim: plain, good: plain, warning: plain, bad: plain }

/** The sixteen colours that every terminal and theme has. */
export const terminal: Style = {
  bold: ansi(1, 22),
  dim: ansi(2, 22),
  good: ansi(32, 39),
  warning: ansi(33, 39),
  bad: ansi(31, 39)
}
