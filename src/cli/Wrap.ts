/**
 * Breaks text into lines of a width, at spaces.
 */

/** The text in lines of at most `width` columns; a longer word stands alone. */
export const wrap = (text: string, width: number): string => {
  const lines: Array<string> = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else {
      line = line === "" ? word : `${line} ${word}`
    }
  }
  return [...lines, line].join("\n")
}
