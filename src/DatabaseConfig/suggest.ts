/**
 * "Did you mean": the known name closest to a misspelt one.
 */

/** Edits (insert, delete, replace, swap neighbours) between two words: optimal string alignment. */
const distance = (left: string, right: string): number => {
  let beforePrevious: ReadonlyArray<number> = []
  let previous: ReadonlyArray<number> = Array.from({ length: right.length + 1 }, (_, column) => column)
  for (let row = 1; row <= left.length; row++) {
    const current = [row]
    for (let column = 1; column <= right.length; column++) {
      const same = left[row - 1] === right[column - 1]
      const swapped =
        row > 1 && column > 1 && left[row - 1] === right[column - 2] && left[row - 2] === right[column - 1]
      current.push(
        Math.min(
          (previous[column] ?? 0) + 1,
          (current[column - 1] ?? 0) + 1,
          (previous[column - 1] ?? 0) + (same ? 0 : 1),
          swapped ? (beforePrevious[column - 2] ?? 0) + 1 : Infinity
        )
      )
    }
    beforePrevious = previous
    previous = current
  }
  return previous[right.length] ?? Infinity
}

/** A third of the letters may differ, and never more than three: beyond that a guess misleads. */
export const suggest = (name: string, known: Iterable<string>): string | undefined => {
  const wanted = name.toLowerCase()
  let best: string | undefined
  let fewest = Math.min(3, Math.floor(wanted.length / 3)) + 1
  for (const candidate of known) {
    const edits = distance(wanted, candidate.toLowerCase())
    if (edits < fewest) {
      fewest = edits
      best = candidate
    }
  }
  return best
}

/** The sentence, or nothing. */
export const didYouMean = (name: string, known: Iterable<string>): string => {
  const found = suggest(name, known)
  return found === undefined ? "" : `; did you mean ${found}?`
}
