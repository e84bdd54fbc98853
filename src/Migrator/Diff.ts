/**
 * The difference between two texts, line by line, in the notation of `diff -u`.
 */

/** Beyond this many lines a table of every pair is too large, and the texts are shown as wholly different. */
const maxLines = 2_000

/** How many equal lines are shown around a difference. */
const contextLines = 2

interface Line {
  readonly sign: " " | "-" | "+"
  readonly text: string
}

/** The lines of a longest common subsequence, by the textbook table. */
const compare = (before: ReadonlyArray<string>, after: ReadonlyArray<string>): ReadonlyArray<Line> => {
  const width = after.length + 1
  const length = new Uint16Array((before.length + 1) * width)
  const at = (row: number, column: number): number => length[row * width + column] ?? 0
  for (let row = before.length - 1; row >= 0; row--) {
    for (let column = after.length - 1; column >= 0; column--) {
      length[row * width + column] =
        before[row] === after[column] ? at(row + 1, column + 1) + 1 : Math.max(at(row + 1, column), at(row, column + 1))
    }
  }
  const lines: Array<Line> = []
  let row = 0
  let column = 0
  while (row < before.length || column < after.length) {
    const removed = before[row]
    const added = after[column]
    if (removed !== undefined && added !== undefined && removed === added) {
      lines.push({ sign: " ", text: removed })
      row++
      column++
    } else if (removed !== undefined && (added === undefined || at(row + 1, column) >= at(row, column + 1))) {
      lines.push({ sign: "-", text: removed })
      row++
    } else if (added !== undefined) {
      lines.push({ sign: "+", text: added })
      column++
    }
  }
  return lines
}

/** The changed lines with a little around them; `-` is `before`, `+` is `after`. */
export const diff = (before: string, after: string): string => {
  const old = before.split("\n")
  const now = after.split("\n")
  if (old.length > maxLines || now.length > maxLines) {
    return `- (${old.length} lines)\n+ (${now.length} lines)`
  }
  const lines = compare(old, now)
  const near = (index: number): boolean =>
    lines.slice(Math.max(0, index - contextLines), index + contextLines + 1).some(({ sign }) => sign !== " ")
  const shown: Array<string> = []
  let skipping = false
  for (const [index, { sign, text }] of lines.entries()) {
    if (near(index)) {
      shown.push(`${sign} ${text}`.trimEnd())
      skipping = false
    } else if (!skipping) {
      shown.push("  ..")
      skipping = true
    }
  }
  return shown.join("\n")
}
