/**
 * Aligned columns, cut to the width of the terminal.
 */
import type { Mark } from "./Style.ts"

/** A column of a table. */
export interface Column {
  readonly title: string
  readonly align?: "left" | "right"
}

/** A cell, and how it is marked. */
export type Cell = string | { readonly text: string; readonly mark: Mark }

/** The lines of a table. `width` 0 means that nothing is cut. */
export const table = (
  columns: ReadonlyArray<Column>,
  rows: ReadonlyArray<ReadonlyArray<Cell>>,
  options: { readonly width: number; readonly heading: Mark }
): string => {
  const widths = columns.map((column, index) =>
    Math.max(column.title.length, ...rows.map((row) => textOf(row[index]).length))
  )
  const line = (cells: ReadonlyArray<Cell>): string => {
    let room = options.width === 0 ? Infinity : options.width
    const parts: Array<string> = []
    for (const [index, column] of columns.entries()) {
      const cell = cells[index]
      const text = textOf(cell)
      const width = widths[index] ?? 0
      const isLast = index === columns.length - 1
      const padded = column.align === "right" ? text.padStart(width) : isLast ? text : text.padEnd(width)
      const shown = cut(padded, room)
      if (shown === "") break
      room -= shown.length + gap.length
      parts.push(typeof cell === "object" ? cell.mark(shown) : shown)
    }
    return parts.join(gap).trimEnd()
  }
  const heading = line(columns.map((column) => ({ text: column.title, mark: options.heading })))
  return [heading, ...rows.map(line)].join("\n")
}

const gap = "  "

const textOf = (cell: Cell | undefined): string =>
  (typeof cell === "object" ? cell.text : (cell ?? "")).replace(/\s+/g, " ")

const cut = (text: string, room: number): string =>
  text.length <= room ? text : room <= 1 ? "" : `${text.slice(0, room - 1)}…`
